/** Several devices in one node: the same finds as with one, whatever becomes of some of them. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { createPocClient, type PocClient } from "@proofmill/client";
import { notLinux, skipped } from "@proofmill/core/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { EMULATED_LIBRARY, emulatedCuda, notEmulated } from "../conformance/cuda.ts";
import { goldenModel } from "../conformance/golden.ts";
import {
  BIN,
  environment,
  poll,
  runCli,
  type StartOptions,
  startServer,
  type TestNode,
  temporaryFolder,
} from "../helpers.ts";

/** Every nonce is valid, so that the finds show what was counted. */
const ROUND = {
  ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 2 },
  ...{ node_id: 0, node_count: 1, seq_len: 32 },
};

async function start(options: StartOptions): Promise<{ node: TestNode; client: PocClient }> {
  const node = await startServer({ ...options, args: ["--enable-poc", ...(options.args ?? [])] });
  onTestFinished(() => void node.process.kill("SIGKILL"));
  return { node, client: createPocClient({ url: node.url, retries: 0 }) };
}

const checked = (client: PocClient, least: number) =>
  poll(
    () => client.status({ limit: 1 }),
    ({ total_checked }) => total_checked >= least,
  );

/** The finds of a round after at least so many nonces, which are all of those that were checked. */
async function findsAfter(client: PocClient, least: number): Promise<number[]> {
  await checked(client, least);
  await client.stop();
  const { valid_nonces, valid_distances, total_checked } = await client.status();
  expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => i));
  return valid_distances;
}

describe.skipIf(skipped(notLinux))("two runners on the CPU", () => {
  test("one of which is killed again and again: the finds are those of one runner", async () => {
    const one = await start({ args: ["--device", "cpu", "--threads", "1"] });
    await one.client.initGenerate(ROUND);
    const quiet = await findsAfter(one.client, 300);
    await one.node.stop();

    const args = ["--device", "cpu,cpu", "--threads", "2", "--runner-max-restarts", "1000"];
    const { node, client } = await start({ args });
    const runners = async () => (await client.nodeInfo()).runners;
    expect((await runners()).map(({ id, state }) => [id, state])).toEqual([
      ["cpu:0", "alive"],
      ["cpu:1", "alive"],
    ]);
    for (const { device } of await runners()) expect(device).toContain("1 thread)");
    const loading = node.logged("loading the model").map(({ runner }) => runner);
    expect(loading).toEqual(["cpu:0", "cpu:1"]);
    await client.initGenerate(ROUND);
    let kills = 0;
    while (kills < 3) {
      await pause(400 * Math.random());
      const [, { pid = null } = {}] = await runners();
      if (pid === null) continue;
      process.kill(pid, "SIGKILL");
      kills++;
      await poll(runners, ([, second]) => second?.pid !== pid);
      expect((await client.status({ limit: 1 })).is_model_initialized).toBe(true);
    }
    const { total_checked } = await client.status({ limit: 1 });
    const finds = await findsAfter(client, total_checked + 100);
    const both = Math.min(finds.length, quiet.length);
    expect(both).toBeGreaterThan(100);
    expect(finds.slice(0, both)).toEqual(quiet.slice(0, both));
    expect(await runners()).toMatchObject([{ restarts: 0 }, { id: "cpu:1" }]);
    expect(await node.stop()).toBe(0);
  });

  test("the node goes on when one is lost for good, and is unhealthy once both are", async () => {
    const args = ["--device", "cpu,cpu", "--threads", "2", "--runner-max-restarts", "0"];
    const { node, client } = await start({ args });
    await client.initGenerate(ROUND);
    await checked(client, 50);
    const { runners } = await client.nodeInfo();
    process.kill(runners[0]?.pid ?? 0, "SIGKILL");
    expect(await node.log("the node goes on with fewer runners")).toMatchObject({
      runner: "cpu:0",
      runners_left: 1,
    });
    expect((await node.get("/health")).status).toBe(200);
    expect((await client.nodeInfo()).runners).toMatchObject([
      { id: "cpu:0", state: "lost", pid: null, reason: expect.stringContaining("SIGKILL") },
      { id: "cpu:1", state: "alive" },
    ]);
    const { total_checked, state } = await client.status({ limit: 1 });
    expect(state).toBe("GENERATING");
    await checked(client, total_checked + 50);
    process.kill(runners[1]?.pid ?? 0, "SIGKILL");
    await poll(
      () => node.logged("the runner is lost for good").length,
      (times) => times === 2,
    );
    expect((await node.get("/health")).status).toBe(503);
    expect((await client.status({ limit: 1 })).state).toBe("STOPPED");
    expect(await node.stop()).toBe(0);
  });
});

emulatedCuda();

describe.skipIf(skipped(notEmulated))("several GPUs, emulated", () => {
  const model = goldenModel("qwen3-tiny-strong");
  const env = { PROOFMILL_CUDA_LIBRARY: EMULATED_LIBRARY, PROOFMILL_CUBLASLT: EMULATED_LIBRARY };
  const round = { ...ROUND, seq_len: 16 };

  test("that are not alike are refused, and --list-devices shows them", async () => {
    const args = ["--enable-poc", "--device", "cuda:all", "--port", "0"];
    const data = ["--data-dir", temporaryFolder()];
    const { code, stderr } = await runCli(["serve", model, ...args, ...data], env);
    expect(code).toBe(1);
    expect(stderr).toContain("cuda:0 and cuda:1 differ in their arithmetic, cuda-sm90");
    const { stdout } = await runCli(["serve", "--list-devices"], env);
    const rows = stdout.trim().split("\n");
    expect(rows.map((row) => row.split(/ {2,}/)[0])).toEqual(["device", "cpu", "cuda:0", "cuda:1"]);
    expect(rows[2]).toMatch(/Emulated GPU .*GiB .*cuda-sm90.*-bf16-1 .*-f32-1$/);
    expect(rows[3]).toMatch(/Emulated-2 192GB .*GiB .*cuda-emulated_2_192gb/);
  });

  test("without cuBLASLt: what works in one precision is shown, and what is missing is said", async () => {
    const missing = { ...env, PROOFMILL_CUBLASLT: "/nowhere.so" };
    const { stdout, stderr } = await runCli(["serve", "--list-devices"], missing);
    const [, , first, second] = stdout.trim().split("\n");
    expect(first).toMatch(/^cuda:0 +Emulated GPU .*GiB +cuda-sm90\S+-bf16-1 +cannot be used$/);
    expect(second).toMatch(/^cuda:1 +cannot be used +cannot be used +cannot be used$/);
    const fault =
      "cuBLASLt (libcublasLt.so.13 or .12) cannot be opened: install it, or name the file";
    const lines = stderr.trim().split("\n");
    expect(lines).toEqual([
      expect.stringContaining(`proofmill: cuda:0 in float32: ${fault}`),
      expect.stringContaining(`proofmill: cuda:1: ${fault}`),
    ]);
  });

  describe("whose driver is too old", () => {
    const old = { ...env, CUDA_EMULATED_DRIVER: "12040" };
    const reason = "the NVIDIA driver is too old: it knows CUDA 12.4, and this build needs 13.0";

    test.each([
      [["selftest"]],
      [["bench"]],
      [["bench", "prefill"]],
      [["bench", "decode"]],
      [["calibrate", model, "--block-hash", "a"]],
      [["doctor", model]],
    ])("%j says why the CPU computes", async (args) => {
      const child = spawn(process.execPath, [BIN, ...args], { env: environment(old) });
      onTestFinished(() => void child.kill("SIGKILL"));
      const [said] = await once(createInterface({ input: child.stderr }), "line");
      expect(said).toContain(`proofmill: no GPU is used: ${reason}`);
    });

    test("serve warns of it in its log, and lists why there is none", async () => {
      const { node } = await start({ args: [model], env: old });
      expect(await node.log(`no GPU is used: ${reason}`)).toMatchObject({ level: 40 });
      expect(await node.stop()).toBe(0);
      const { stdout, stderr } = await runCli(["serve", "--list-devices"], old);
      expect(stdout.trim().split("\n")).toHaveLength(2);
      expect(stderr).toContain(`proofmill: no GPU can be used: ${reason}`);
    });
  });

  test("one of which fails in the middle of a round: the finds are those of one GPU", async () => {
    const one = await start({ args: [model, "--device", "cuda:0"], env });
    await one.client.initGenerate(round);
    const quiet = await findsAfter(one.client, 24);
    await one.node.stop();

    const failing = { ...env, CUDA_EMULATED_ALIKE: "1", CUDA_EMULATED_FAIL: "1:150" };
    const { node, client } = await start({ args: [model, "--device", "cuda:all"], env: failing });
    await client.initGenerate(round);
    await poll(
      async () => (await client.nodeInfo()).runners[1] ?? { restarts: 0 },
      (runner) => runner.restarts > 0,
    );
    const finds = await findsAfter(client, 24);
    const both = Math.min(finds.length, quiet.length);
    expect(finds.slice(0, both)).toEqual(quiet.slice(0, both));
    expect((await client.nodeInfo()).runners[0]).toMatchObject({ id: "cuda:0", restarts: 0 });
    expect(JSON.stringify(node.logged("the runner is gone")[0])).toContain("GPU 1");
    expect(await node.stop()).toBe(0);
  });
});
