/** The programs in examples/, as their first lines say to run them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startServer, type TestNode } from "../helpers.ts";

let nodes: TestNode[];
beforeAll(async () => {
  nodes = [
    await startServer({ args: ["--enable-poc"] }),
    await startServer({ args: ["--enable-poc", "--threads", "1"] }),
  ];
});
afterAll(() => Promise.all(nodes.map((node) => node.stop())));

function example(name: string, ...args: string[]) {
  const path = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (text) => {
    output.stdout += text;
  });
  child.stderr.on("data", (text) => {
    output.stderr += text;
  });
  return { child, output, ended: once(child, "close").then(([code]) => code as number) };
}

test("a coordinator cross-validates two nodes", async () => {
  const { output, ended } = example("coordinator.mjs", ...nodes.map(({ url }) => url));
  expect([await ended, output.stderr]).toEqual([0, ""]);
  expect(output.stdout).toMatch(/^node 0: \d+ of \d+ valid$/m);
  expect(output.stdout).toMatch(/^node 0 on node 1: 0 of \d+ invalid, honest$/m);
  expect(output.stdout).toMatch(/^node 1 on node 0: 0 of \d+ invalid, honest$/m);
});

test("a caller of the older service gets its finds pushed", async () => {
  const { output, ended } = example("older-caller.mjs", nodes[0]?.url ?? "");
  expect([await ended, output.stderr]).toEqual([0, ""]);
  const nonces = [...output.stdout.matchAll(/^nonce (\d+) at [\d.]+$/gm)].map(([, nonce]) => nonce);
  expect(nonces.length).toBeGreaterThanOrEqual(20);
  expect(new Set(nonces).size).toBe(nonces.length);
});

test("a dashboard says that nobody answers", async () => {
  const { child, output, ended } = example("dashboard.mjs", "http://127.0.0.1:39999");
  while (!output.stderr) await once(child.stderr, "data");
  expect(output.stderr).toMatch(/^lost: no answer from http:\/\/127\.0\.0\.1:39999/);
  child.kill("SIGINT");
  expect(await ended).toBe(0);
});

test("a dashboard shows states and finds until Ctrl-C", async () => {
  const { child, output, ended } = example("dashboard.mjs", nodes[0]?.url ?? "");
  await once(child.stdout, "data");
  await nodes[0]?.post("/api/v1/pow/init/generate", {
    ...{ block_hash: "seen", block_height: 1, public_key: "node1", r_target: 1.4 },
    ...{ node_id: 0, node_count: 1, seq_len: 32 },
  });
  const seen = () =>
    /block seen[\s\S]*#9: nonce/.test(output.stdout) && /^GEN/m.test(output.stdout);
  while (!seen()) await once(child.stdout, "data");
  child.kill("SIGINT");
  expect([await ended, output.stderr]).toEqual([0, ""]);
  expect(output.stdout).toMatch(/^GENERATING: [\d.]+ nonces\/s/m);
  expect(output.stdout).toMatch(/^round \w{26}: block seen, below 1.4$/m);
});
