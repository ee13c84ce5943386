/** A runner that dies is started again, and its round goes on as if nothing had happened. */

import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { createPocClient, type PocClient } from "@proofmill/client";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import { poll, runCli, startServer, type TestNode } from "../helpers.ts";

/** Every nonce is valid, so that the finds show what was counted. */
const ROUND = {
  ...{ block_hash: "abc123", block_height: 100, public_key: "node1", r_target: 2 },
  ...{ node_id: 0, node_count: 1, seq_len: 32 },
};
const PROOF = {
  ...{ public_key: "other", block_hash: "abc123", block_height: 100, node_id: 0 },
  ...{ nonces: [5, 7], dist: [1, 1] },
};

async function start(...args: string[]): Promise<{ node: TestNode; client: PocClient }> {
  const node = await startServer({ args: ["--enable-poc", ...args] });
  onTestFinished(() => void node.process.kill("SIGKILL"));
  return { node, client: createPocClient({ url: node.url, retries: 0 }) };
}

/** The processes that the node has started, loading or loaded. */
function children({ process: { pid } }: TestNode): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

function killRunner(node: TestNode): void {
  for (const pid of children(node)) process.kill(pid, "SIGKILL");
}

/** The processes of the runners that have their model. */
async function alive(client: PocClient): Promise<number[]> {
  const { runners } = await client.nodeInfo();
  return runners.flatMap(({ state, pid }) => (state === "alive" && pid !== null ? [pid] : []));
}

const checked = async (client: PocClient, least: number) =>
  poll(
    () => client.status({ limit: 1 }),
    ({ total_checked }) => total_checked >= least,
  );

test.skipIf(skipped(notLinux))(
  "killed at random moments: every nonce is counted once, with the bits of a quiet run",
  async () => {
    const KILLS = 6;
    const { node, client } = await start("--runner-max-restarts", "1000");
    await client.initGenerate(ROUND);
    await checked(client, 400);
    await client.stop();
    const quiet = await client.status();

    await client.initGenerate(ROUND);
    let kills = 0;
    while (kills < KILLS) {
      await pause(500 * Math.random());
      const [pid] = await alive(client);
      if (pid === undefined) continue; // one that is killed while it loads only makes the next wait
      process.kill(pid, "SIGKILL");
      kills++;
      await poll(
        () => alive(client),
        (pids) => !pids.includes(pid),
      );
      expect((await client.status({ limit: 1 })).state).toBe("GENERATING");
    }
    const { total_checked: before } = await client.status({ limit: 1 });
    await checked(client, before + 100);
    await client.stop();
    const { valid_nonces, valid_distances, total_checked } = await client.status();
    expect(valid_nonces).toEqual(Array.from({ length: total_checked }, (_, i) => i));
    const both = Math.min(total_checked, quiet.total_checked);
    expect(both).toBeGreaterThan(100);
    expect(valid_distances.slice(0, both)).toEqual(quiet.valid_distances.slice(0, both));
    expect(node.logged("the runner is started again").length).toBeGreaterThan(0);
    expect(await node.stop()).toBe(0);
  },
  120_000,
);

test.skipIf(skipped(notLinux))(
  "while it is started again: a proof waits for it, a command is carried out at once, health is 503",
  async () => {
    const { node, client } = await start();
    await client.initGenerate(ROUND);
    await checked(client, 10);
    const before = await client.validate(PROOF);
    killRunner(node);
    await node.log("the runner is started again");
    const health = await node.get("/health");
    const { is_model_initialized } = await client.status({ limit: 1 });
    if (!is_model_initialized) {
      expect([health.status, health.headers.get("retry-after")]).toEqual([503, "2"]);
      expect(await health.json()).toMatchObject({
        detail: "Model is loading",
        reasons: [{ code: "RUNNER_RESTARTING", text: expect.stringContaining("SIGKILL") }],
      });
    }
    const waits = client.validate(PROOF);
    expect((await client.stop()).pow_status.state).toBe("STOPPED");
    expect((await client.phaseGenerate()).pow_status.state).toBe("GENERATING");
    expect((await waits).distances).toEqual(before.distances);
    const { total_checked } = await client.status({ limit: 1 });
    await checked(client, total_checked + 10);
    await client.stop();
    expect(await node.stop()).toBe(0);
  },
);

test.skipIf(skipped(notLinux))(
  "one that stands still with its work: health says so long before it is killed, and no more once it goes on",
  async () => {
    const { node, client } = await start("--device", "cpu");
    await client.initGenerate(ROUND);
    await checked(client, 10);
    const [pid = 0] = children(node);
    process.kill(pid, "SIGSTOP");
    const ready = await poll(
      () => node.get("/readyz"),
      ({ status }) => status === 503,
    );
    const text = expect.stringMatching(/^Runner stands still: cpu has done nothing/);
    expect(ready.headers.get("retry-after")).toBe("2");
    expect(await ready.json()).toMatchObject({
      ...{ status: "unavailable", ready: false, detail: text, warnings: [] },
      reasons: [{ code: "RUNNER_STALLED", text }],
    });
    const { code, stdout } = await runCli(["status", "--url", node.url]);
    expect([code, stdout]).toEqual([4, expect.stringContaining("Runner stands still: cpu")]);
    expect((await client.nodeInfo()).runners).toMatchObject([{ pid, state: "stalled" }]);
    expect((await node.get("/livez")).status).toBe(200);
    process.kill(pid, "SIGCONT");
    await poll(
      () => node.get("/readyz"),
      ({ status }) => status === 200,
    );
    expect((await client.nodeInfo()).runners).toMatchObject([{ pid, state: "alive", restarts: 0 }]);
    await checked(client, (await client.status({ limit: 1 })).total_checked + 10);
    const { events } = await client.nodeEvents();
    expect(events.filter(({ kind }) => kind === "runner").map(({ text }) => text)).toEqual([
      "The runner cpu has its model",
      expect.stringMatching(/^The runner cpu stands still: /),
      "The runner cpu goes on with its work",
    ]);
    expect(await node.stop()).toBe(0);
  },
  60_000,
);

/** Kills an idle node's runner twice, the second time as soon as it is there again. */
async function killTwice(node: TestNode): Promise<void> {
  killRunner(node);
  await poll(
    () => node.logged("model loaded").length,
    (loads) => loads === 2,
  );
  killRunner(node);
}

test.skipIf(skipped(notLinux))(
  "a runner that dies too often without a finished pass is lost for good: the round stops, status answers",
  async () => {
    const { node, client } = await start("--runner-max-restarts", "1", "--device", "cpu");
    await client.initValidate(ROUND);
    const runners = async () => (await client.nodeInfo()).runners;
    const [pid] = children(node);
    expect(await runners()).toEqual([
      {
        ...{ id: "cpu", device: expect.stringMatching(/^cpu/), arithmetic: expect.any(String) },
        ...{ pid, state: "alive", reason: null, restarts: 0 },
        ...{ memory: expect.any(Number), peak_memory: expect.any(Number) },
      },
    ]);
    await killTwice(node);
    const line = await node.log("the runner is lost for good");
    expect(JSON.stringify(line)).toContain("SIGKILL");
    expect(await runners()).toMatchObject([
      { id: "cpu", pid: null, state: "lost", reason: expect.stringContaining("SIGKILL") },
    ]);
    expect((await runners())[0]?.restarts).toBe(1);
    expect((await client.status()).state).toBe("STOPPED");
    const health = await node.get("/health");
    expect(health.status).toBe(503);
    expect(health.headers.get("retry-after")).toBeNull();
    expect(((await health.json()) as { detail: string }).detail).toMatch(
      /^Runner is not available: .*SIGKILL$/,
    );
    expect(await node.stop()).toBe(0);
  },
);

test.skipIf(skipped(notLinux))(
  "with --exit-when-unhealthy the process then ends, with a code of its own",
  async () => {
    const { node } = await start("--runner-max-restarts", "1", "--exit-when-unhealthy");
    await killTwice(node);
    expect(await node.exited).toBe(69);
  },
);
