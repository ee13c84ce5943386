/** The commands that speak to a running node, as people run them. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createPocClient, type Status, type ValidateAnswer } from "@proofmill/client";
import { notLinux, skipped } from "@proofmill/core/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BIN, runCli, startServer, type TestNode, temporaryFolder } from "../helpers.ts";

const ROUND = ["--block-hash", "abc123", "--public-key", "node1", "--seq-len", "32"];

let node: TestNode;
beforeAll(async () => {
  node = await startServer({ args: ["--enable-poc"] });
});
afterAll(() => node.stop());

const run = (...args: string[]) => runCli([...args, "--url", node.url]);

test("a round until so many are valid, its proof, and another key's", async () => {
  const round = await run("round", ...ROUND, "--r-target", "1.4", "--until", "20", "--json");
  expect(round.code).toBe(0);
  expect(round.stderr).toBe("");
  const status = JSON.parse(round.stdout) as Status;
  expect(status.state).toBe("STOPPED");
  expect(status.total_valid).toBeGreaterThanOrEqual(20);
  const proof = {
    ...{ public_key: "node1", block_hash: "abc123", block_height: 0, node_id: 0 },
    nonces: status.valid_nonces,
    dist: status.valid_distances,
  };
  const file = join(temporaryFolder(), "proof.json");
  writeFileSync(file, JSON.stringify(proof));
  const honest = await run("validate", file);
  expect(honest.code).toBe(0);
  expect(honest.stdout).toContain("verdict     no fraud detected");
  writeFileSync(file, round.stdout);
  expect(await run("validate", file)).toEqual(honest);
  writeFileSync(file, JSON.stringify({ ...proof, public_key: "node2" }));
  const fraud = await run("validate", file, "--json");
  expect(fraud.code).toBe(3);
  const answer = JSON.parse(fraud.stdout) as ValidateAnswer;
  expect(answer.fraud_detected).toBe(true);
});

test("a round for a time shows what it does, and a summary", async () => {
  const { code, stdout, stderr } = await run("round", ...ROUND, "--r-target", "1.4", "--for", "1s");
  expect(code).toBe(0);
  expect(stderr).toMatch(/GENERATING {2}\S+ nonces\/s {2}\d+ found of \d+.* {2}0:0\d\n/);
  expect(stdout).toMatch(/^state {7}STOPPED\nround {7}\w{26}\n/);
  expect(stdout).toMatch(/valid {7}\d+(, 1 in \d+)?\n/);
  expect((await run("status")).stdout).toBe(`${stdout}model       proofmill-demo\n`);
});

test("Ctrl-C stops the round and shows it", async () => {
  const args = ["round", ...ROUND, "--r-target", "1.4", "--url", node.url];
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  child.stdout.on("data", (text) => {
    stdout += text;
  });
  await once(child.stderr, "data");
  child.kill("SIGINT");
  const [code] = await once(child, "close");
  expect(code).toBe(0);
  expect(stdout).toContain("state       STOPPED");
  expect(JSON.parse((await run("status", "--json")).stdout).state).toBe("STOPPED");
});

test("stop ends a round that somebody else has begun, and shows it", async () => {
  const client = createPocClient({ url: node.url });
  const body = { block_hash: "theirs", block_height: 9, public_key: "node9", r_target: 1.4 };
  await client.initGenerate({ ...body, node_id: 0, node_count: 1, seq_len: 32 });
  const { code, stdout } = await run("stop");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^state {7}STOPPED\nround {7}\w{26}\nblock {7}theirs, height 9\n/);
  expect((await client.status({ limit: 1 })).state).toBe("STOPPED");
  const again = JSON.parse((await run("stop", "--json")).stdout);
  expect(again).toMatchObject({
    state: "STOPPED",
    block_hash: "theirs",
    nonces: again.valid_nonces,
  });
});

test("a round of artifacts is shown while it runs, and when it is stopped", async () => {
  const client = createPocClient({ url: node.url });
  const { model } = await client.nodeInfo();
  const block = { block_hash: "v2", block_height: 5, public_key: "node7", node_id: 0 };
  await client.initArtifacts({ ...block, node_count: 2, params: { model, seq_len: 16 } });
  const shown = new RegExp(
    "round {7}\\w{26}, of artifacts\nblock {7}v2, height 5\npublic key {2}node7\n" +
      "node {8}0 of 2\nartifacts {3}[\\d,]+ in [\\d.]+ s, [\\d,]+ a minute\n",
  );
  const running = await run("status");
  expect(running.stdout).toMatch(/^state {7}GENERATING\n/);
  expect(running.stdout).toMatch(shown);
  const { artifacts } = JSON.parse((await run("status", "--json")).stdout);
  expect(artifacts.round).toMatchObject({ ...block, node_count: 2 });
  const stopped = await run("stop");
  expect(stopped.stdout).toMatch(/^state {7}STOPPED\n/);
  expect(stopped.stdout).toMatch(shown);
});

test("a verdict says where it means less than it seems to", async () => {
  await run("round", ...ROUND, "--r-target", "3", "--until", "3");
  const proof = JSON.parse((await run("status", "--json")).stdout);
  const file = join(temporaryFolder(), "proof.json");
  const validated = async (change: object) => {
    writeFileSync(file, JSON.stringify({ ...proof, ...change }));
    const { stdout } = await run("validate", file);
    return stdout.split("\n").filter((line) => line.startsWith("warning"));
  };
  const everything = expect.stringContaining("no distance is beyond the round's r_target");
  expect(await validated({})).toEqual([everything]);
  await run("round", ...ROUND, "--r-target", "1.4", "--until", "3");
  expect(await validated({})).toEqual([]);
  expect(await validated({ arithmetic: undefined })).toEqual([]);
  expect(await validated({ arithmetic: "cuda-1" })).toEqual([
    expect.stringContaining("the proof was computed in cuda-1, which rounds otherwise"),
  ]);
});

test("a round that is stopped from elsewhere says so", async () => {
  const running = run("round", ...ROUND, "--r-target", "1.4");
  const status = async () => JSON.parse((await run("status", "--json")).stdout) as Status;
  while ((await status()).state !== "GENERATING");
  await run("stop");
  expect(await running).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/the round ended before its limit: The round of .*: stop\n$/),
  });
});

test("a round that another one replaces ends with a word about it", async () => {
  const running = run("round", ...ROUND, "--r-target", "1.4");
  const status = async () => JSON.parse((await run("status", "--json")).stdout) as Status;
  while ((await status()).state !== "GENERATING");
  await node.post("/api/v1/pow/init/generate", {
    ...{ block_hash: "next", block_height: 1, public_key: "node1", r_target: 1 },
    ...{ node_id: 0, node_count: 1, seq_len: 32 },
  });
  expect(await running).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("another round has begun on this node"),
  });
  await node.post("/api/v1/pow/stop");
});

test.each([
  [["status", "--url", "http://127.0.0.1:39999"], 1, "ECONNREFUSED"],
  [["status", "--url", "here"], 2, "Expected an address like http://127.0.0.1:8000;"],
  [["status", "--url", "http://:s3cret@127.0.0.1"], 2, "credentials go into --api-key."],
  [["round", "--block-hash", "a"], 2, "required option '--public-key <text>' not specified"],
  [["round", ...ROUND, "--r-target", "x"], 2, "Expected a number."],
  [["round", ...ROUND, "--r-target", "1", "--for", "1"], 2, "Expected a time, e.g. 90s"],
  [["validate", "/no/such/file"], 1, "/no/such/file: no such file or directory"],
  [["validate", "/"], 1, "/: illegal operation on a directory"],
  [["calibrate", "--block-hash", "a", "--samples", "10"], 1, "too few for a rate of 0.01: take at"],
])("%j is refused in one line", async (args, code, reason) => {
  const result = await runCli(args);
  expect(result).toMatchObject({ code, stdout: "" });
  expect(result.stderr).toMatch(/^proofmill: .+\n$/);
  expect(result.stderr).toContain(reason);
  expect(result.stderr).not.toContain("s3cret");
});

test.skipIf(skipped(notLinux))("a file without an end is no proof", async () => {
  expect((await runCli(["validate", "/dev/zero"])).stderr).toBe(
    "proofmill: /dev/zero: is longer than a proof, expected at most 67108864 bytes\n",
  );
});

test("a node that is called by https: is said to speak no TLS", async () => {
  const url = node.url.replace("http:", "https:");
  expect((await runCli(["status", "--url", url])).stderr).toBe(
    `proofmill: no answer from ${url}: it does not speak TLS, as https:// wants\n`,
  );
});

test("a flag that npm took for its own is not left out without a word", async () => {
  const npm = { npm_package_name: "proofmill", npm_config_data_dir: "true" };
  expect(await runCli(["serve", "8000", "float32"], npm)).toEqual({
    code: 2,
    stdout: "",
    stderr:
      "proofmill: npm kept --data-dir to itself: put -- before it, as in npm start -- --data-dir\n",
  });
});

test("a node without a round, or without PoC, says what is missing", async () => {
  const idle = await startServer();
  expect((await runCli(["stop", "--url", idle.url])).stderr).toBe(
    "proofmill: PoC not enabled: start the node with --enable-poc\n",
  );
  await idle.stop();
  const file = join(temporaryFolder(), "status.json");
  writeFileSync(file, JSON.stringify({ state: "IDLE", round_id: null, valid_nonces: [] }));
  expect((await run("validate", file)).stderr).toBe(
    `proofmill: ${file}: the status of a node without a round\n`,
  );
});

test("what the node refuses is said in its words", async () => {
  const { code, stderr } = await run("round", ...ROUND, "--r-target", "1", "--node-id", "3");
  expect([code, stderr]).toEqual([
    1,
    "proofmill: node_id: Value error, node_id must be less than node_count\n",
  ]);
  const file = join(temporaryFolder(), "proof.json");
  writeFileSync(file, "{}");
  expect((await run("validate", file)).stderr).toContain("nonces: Field required");
  writeFileSync(file, "{");
  expect((await run("validate", file)).stderr).toContain("is not JSON");
  const other = { public_key: "k", block_hash: "other", block_height: 1, node_id: 0 };
  writeFileSync(file, JSON.stringify({ ...other, nonces: [1], dist: [1.2] }));
  expect((await run("validate", file)).stderr).toMatch(
    /^proofmill: (No round configured|Block hash mismatch): .* begin one of the proof's first\n$/,
  );
});
