/** Jobs and groups of artifacts, of a whole node with the demo model. */
import { expect, test } from "vitest";
import { poll, startServer, type TestNode } from "../helpers.ts";
import { startReceiver } from "./receiver.ts";

const MODEL = "proofmill-demo";
const BLOCK = {
  ...{ block_hash: "ABCDEF", block_height: 7, public_key: "02a1" },
  ...{ node_id: 1, node_count: 3, params: { model: MODEL, seq_len: 16 } },
};
const STALE = JSON.stringify({ error: "block_height is not the active PoC stage" });

function start(): Promise<TestNode> {
  return startServer({ args: ["--enable-poc", "--callback-interval", "20ms"] });
}

async function status(node: TestNode): Promise<string> {
  return ((await (await node.get("/api/v1/inference/pow/status")).json()) as { status: string })
    .status;
}

test("a group walks its part of the node's sequence", async () => {
  const node = await start();
  const receiver = await startReceiver();
  const groups = { group_id: 1, n_groups: 4, url: receiver.url };
  expect((await node.post("/api/v1/pow/init/generate", { ...BLOCK, ...groups })).status).toBe(200);
  await receiver.until(0, () => receiver.nonces.size >= 50);
  expect((await node.post("/api/v1/pow/stop")).status).toBe(200);
  await node.stop(); // what is due is sent first
  const nonces = receiver.received.flatMap(({ body }) =>
    (body.artifacts ?? []).map(({ nonce }) => nonce),
  );
  expect(nonces).toEqual(nonces.map((_, i) => 1 + 3 + i * 4 * 3));
});

test("what waits for a round goes on when the receiver says that its block is over", async () => {
  const node = await start();
  let refused = 0;
  let endBlock = () => {};
  const blockIsOver = new Promise<void>((resolve) => {
    endBlock = resolve;
  });
  const receiver = await startReceiver(async ({ body }) => {
    if (body.request_id) return { status: 200 };
    await blockIsOver;
    refused++;
    return { status: 400, text: STALE };
  });
  const round = { ...BLOCK, url: receiver.url };
  expect((await node.post("/api/v1/inference/pow/init/generate", round)).status).toBe(200);
  const waited = node.post("/api/v1/pow/generate", { ...BLOCK, nonces: [2, 5], wait: true });
  const queued = await node.post("/api/v1/pow/generate", { ...round, nonces: [8] });
  const { request_id } = (await queued.json()) as { request_id: string };
  const job = await node.get(`/api/v1/pow/generate/${request_id}`);
  expect(await job.json()).toEqual({ status: "queued", request_id });
  expect(await status(node)).toBe("GENERATING");
  endBlock();

  const answer = await waited;
  expect(answer.status).toBe(200);
  const { artifacts } = (await answer.json()) as { artifacts: { nonce: number }[] };
  expect(artifacts.map(({ nonce }) => nonce)).toEqual([2, 5]);
  await receiver.until(0, ({ body }) => body.request_id === request_id);
  expect(refused).toBeGreaterThan(0);
  expect(await status(node)).toBe("IDLE");
  expect(node.logged("the receiver says that the round's block is over")).toHaveLength(1);

  // And the next block's is not held up.
  const next = { ...round, block_hash: "next", block_height: 8 };
  expect((await node.post("/api/v1/inference/pow/init/generate", next)).status).toBe(200);
  await node.stop();
});

test("jobs are computed in their order, chats meanwhile, and no more wait than may", async () => {
  const node = await start();
  const receiver = await startReceiver();
  const state = await (await node.get("/api/v1/state")).json();
  expect(state).toMatchObject({ state: "INFERENCE", poc_validation_inference: true });
  const enqueue = (nonces: number[]) =>
    node.post("/api/v1/inference/pow/generate", { ...BLOCK, nonces, url: receiver.url });
  const many = Array.from({ length: 3000 }, (_, i) => i);
  const ids: string[] = [];
  for (const nonces of [many, [1], [4]]) {
    const { request_id } = (await (await enqueue(nonces)).json()) as { request_id: string };
    ids.push(request_id.split(":")[1] ?? "");
  }
  // 3,002 wait: of 100,000 there is no room for all of these.
  const refusal = await enqueue(Array.from({ length: 99_000 }, (_, i) => i));
  expect(refusal.status).toBe(429);
  expect(await refusal.text()).toContain("limit is 100000");

  const job = async (id = "") => (await node.get(`/api/v1/pow/generate/${id}`)).json();
  await poll(
    () => job(ids[0]),
    (one) => (one as { status: string }).status !== "queued",
  );
  const messages = [{ role: "user", content: "Hello" }];
  const chat = await node.post("/v1/chat/completions", { model: MODEL, messages, max_tokens: 2 });
  expect(chat.status).toBe(200);
  expect(await job(ids[2])).toMatchObject({ status: "queued" }); // so the first was at work meanwhile
  await receiver.until(0, ({ body }) => body.request_id === ids[2]);
  expect(receiver.received.map(({ body }) => body.request_id)).toEqual(ids);
  expect(receiver.received[0]?.body.artifacts).toHaveLength(many.length);
  await node.stop();
});
