import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { CommandAnswer, Status } from "@proofmill/core";
import { notLinux, skipped } from "@proofmill/core/testing";
import { expect, onTestFinished, test } from "vitest";
import { isRunning, poll, type StartOptions, startServer, type TestNode } from "../helpers.ts";

const ROUND = {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 2,
  node_id: 0,
  node_count: 1,
  seq_len: 32,
};

async function start(options: StartOptions = {}): Promise<TestNode> {
  const node = await startServer({ args: ["--enable-poc"], ...options });
  onTestFinished(() => {
    node.process.kill("SIGKILL");
  });
  return node;
}

async function runnerPid(node: TestNode): Promise<number> {
  return Number((await node.log("model loaded")).runner_pid);
}

async function status(node: TestNode): Promise<Status> {
  return (await (await node.get("/api/v1/pow/status")).json()) as Status;
}

async function generate(node: TestNode): Promise<void> {
  await node.post("/api/v1/pow/init/generate", ROUND);
  await poll(
    () => status(node),
    ({ total_valid }) => total_valid > 0,
  );
}

test.skipIf(skipped(notLinux))("the runner's process knows no secrets", async () => {
  const env = {
    PROOFMILL_CALLBACK_SECRET: "s3cret-1",
    PROOFMILL_UPSTREAM_API_KEY: "s3cret-2",
    HF_TOKEN: "s3cret-3",
    HUGGING_FACE_HUB_TOKEN: "s3cret-4",
    AWS_SECRET_ACCESS_KEY: "s3cret-5",
    MY_PATH: "s3cret-6",
    LD_LIBRARY_PATH: "/passed-on",
    CUDA_VISIBLE_DEVICES: "passed-on",
    NVIDIA_VISIBLE_DEVICES: "passed-on",
    ASAN_OPTIONS: "passed=on",
    PROOFMILL_ISA: "baseline",
  };
  const node = await start({ env });
  const pid = await runnerPid(node);
  const text = `\0${readFileSync(`/proc/${pid}/environ`, "utf8")}`;
  expect(text).not.toContain("s3cret");
  for (const name of Object.keys(env).slice(6)) expect(text).toContain(`\0${name}=`);
  expect((await node.log("model loaded")).arithmetic).toContain("mul-add"); // PROOFMILL_ISA got there
});

/** A node that has room for one proof of `sendLongProof`. */
function startWithRoomForOne(): Promise<TestNode> {
  return start({ args: ["--enable-poc", "--max-queued-validate-nonces", "4096"] });
}

/**
 * Sends a proof that takes many seconds, and resolves when it is at work: of two that are sent, one
 * is refused because the other has been taken in.
 */
async function sendLongProof(node: TestNode): Promise<{ answer: Promise<Response> }> {
  const nonces = Array.from({ length: 4096 }, (_, i) => i);
  const proof = { ...ROUND, nonces, dist: nonces.map(() => 1) };
  const answers = [1, 2].map(() => node.post("/api/v1/pow/validate", proof));
  const [first, refused] = await Promise.race(
    answers.map(async (answer, i) => [i, (await answer).status] as const),
  );
  expect(refused).toBe(503);
  return { answer: answers[1 - first] as Promise<Response> };
}

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s during a round: repeats are one, what is in flight is answered, exit 0 in under 5 s",
  async (signal) => {
    const node = await start();
    await generate(node);
    const pid = await runnerPid(node);
    const nonces = Array.from({ length: 32 }, (_, i) => i);
    const proof = { ...ROUND, nonces, dist: nonces.map(() => 1) };
    const inFlight = node.post("/api/v1/pow/validate", proof);
    // Bodies of one piece are read in the order in which they come.
    await node.post("/api/v1/pow/validate", { ...ROUND, nonces: [], dist: [] });
    const begin = performance.now();
    node.process.kill(signal);
    node.process.kill(signal);
    process.kill(pid, signal); // as a terminal does
    expect((await inFlight).status).toBe(200);
    expect(await node.exited).toBe(0);
    expect(performance.now() - begin).toBeLessThan(5000);
    expect(isRunning(pid)).toBe(false);
  },
);

test("SIGTERM while a proof of many seconds is at work, and a client that never ends its request", async () => {
  const node = await startWithRoomForOne();
  await node.post("/api/v1/pow/init", { ...ROUND, seq_len: 2048 });
  const endless = fetch(`${node.url}/api/v1/pow/init`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from("{")) }),
    duplex: "half",
  } as RequestInit).catch(() => "cut");
  const inFlight = await sendLongProof(node);
  const begin = performance.now();
  expect(await node.stop()).toBe(0);
  expect(performance.now() - begin).toBeLessThan(5000);
  const answer = await inFlight.answer;
  expect([answer.status, await answer.json()]).toEqual([
    503,
    { detail: "Server is shutting down" },
  ]);
  expect(await endless).toBe("cut");
});

test("a signal that comes more than a second after the first ends the node at once", async () => {
  const node = await startWithRoomForOne();
  await node.post("/api/v1/pow/init", { ...ROUND, seq_len: 2048 });
  const inFlight = await sendLongProof(node);
  const answer = inFlight.answer.catch(() => "cut");
  node.process.kill("SIGTERM");
  await node.log("closing");
  await pause(1100);
  node.process.kill("SIGTERM");
  expect(await node.exited).toBe(143);
  expect(await answer).toBe("cut");
  const pid = await runnerPid(node);
  await poll(
    () => isRunning(pid),
    (running) => !running,
  );
});

test("SIGTERM while the model loads", async () => {
  const node = await start({ until: "listening" });
  const health = await node.get("/health");
  const { is_model_initialized } = await status(node);
  expect(is_model_initialized ? 200 : 503).toBe(health.status);
  expect(await node.stop()).toBe(0);
});

test("kill -9 of the server ends its runner", async () => {
  const node = await start();
  await generate(node);
  const pid = await runnerPid(node);
  node.process.kill("SIGKILL");
  expect(await node.exited).toBe("SIGKILL");
  await poll(
    () => isRunning(pid),
    (running) => !running,
  );
});

test("kill -9 of a runner that is never started again stops the round, and its results stay", async () => {
  const node = await start({ args: ["--enable-poc", "--runner-max-restarts", "0"] });
  await generate(node);
  const pid = await runnerPid(node);
  process.kill(pid, "SIGKILL");
  const line = await node.log("the runner is lost for good");
  expect(JSON.stringify(line)).toContain("SIGKILL");
  const stopped = await status(node);
  expect(stopped).toMatchObject({ state: "STOPPED", is_model_initialized: false });
  expect(stopped.total_valid).toBeGreaterThan(0);
  expect(stopped.valid_nonces).toHaveLength(stopped.total_valid);
  const health = await node.get("/health");
  const detail = `Runner is not available: the runner's process (${pid}) ended by SIGKILL`;
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({
    detail,
    reasons: [{ code: "RUNNER_LOST", text: detail }],
  });
  expect((await node.post("/api/v1/pow/phase/generate")).status).toBe(503);
  const stop = (await (await node.post("/api/v1/pow/stop")).json()) as CommandAnswer;
  // What it had computed by then may have been on its way to the disk.
  const { valid_nonces } = stop.pow_status;
  expect(valid_nonces.slice(0, stopped.total_valid)).toEqual(stopped.valid_nonces);
  expect(await node.stop()).toBe(0);
});

test("a port that is taken: one line, exit 1, before any model is loaded", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    taken.close();
  });
  const { port } = taken.address() as { port: number };
  const failure = await start({ args: ["--port", String(port)] }).catch((error: Error) => error);
  expect(failure).toBeInstanceOf(Error);
  const lines = (failure as Error).message.split("\n").slice(1);
  expect((failure as Error).message).toContain("before the end (1)");
  expect(lines).toEqual([
    `proofmill: cannot listen on 127.0.0.1 port ${port}: the port is in use; choose another with --port`,
  ]);
});
