import type { CommandAnswer, Status, ValidateAnswer } from "@proofmill/core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { poll, startServer, type TestNode } from "../helpers.ts";

const POW = "/api/v1/pow";
const ROUND = {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 1.4,
  node_id: 1,
  node_count: 3,
  seq_len: 32,
};

let node: TestNode;
beforeAll(async () => {
  node = await startServer({ args: ["--enable-poc"] });
});
afterAll(() => node.stop());

async function status(): Promise<Status> {
  return (await (await node.get(`${POW}/status`)).json()) as Status;
}

async function post<T>(path: string, body?: unknown): Promise<T> {
  const response = await node.post(`${POW}${path}`, body);
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

test("a whole round: search, stop, and a proof that holds to the last digit", async () => {
  const begun = await post<CommandAnswer>("/init/generate", ROUND);
  expect(begun.pow_status).toMatchObject({ state: "GENERATING", total_checked: 0 });
  await poll(status, ({ total_valid }) => total_valid >= 40);
  const { pow_status } = await post<CommandAnswer>("/stop");
  expect(pow_status.state).toBe("STOPPED");
  expect(pow_status.total_checked).toBeGreaterThan(pow_status.total_valid);
  expect(pow_status.rate_per_second).toBeGreaterThan(0);
  const { valid_nonces: nonces, valid_distances: dist } = await status();
  expect(nonces).toEqual(pow_status.valid_nonces);
  for (const [i, nonce] of nonces.entries()) {
    expect(nonce % ROUND.node_count).toBe(ROUND.node_id);
    expect(dist[i]).toBeLessThan(ROUND.r_target);
    expect(Math.fround(dist[i] ?? 0)).toBe(dist[i]);
  }

  // In another order and in other company than they were found.
  const order = nonces.map((_, i) => i).reverse();
  const proof = {
    public_key: ROUND.public_key,
    block_hash: ROUND.block_hash,
    block_height: ROUND.block_height,
    nonces: order.map((i) => nonces[i]),
    dist: order.map((i) => dist[i]),
    node_id: ROUND.node_id,
  };
  const answer = await post<ValidateAnswer>("/validate", proof);
  expect(answer.distances).toEqual(proof.dist);
  expect(answer).toMatchObject({
    valid: order.map(() => true),
    n_invalid: 0,
    probability_honest: 1,
    fraud_detected: false,
    arithmetic: pow_status.arithmetic,
  });

  const other = await post<ValidateAnswer>("/validate", { ...proof, public_key: "node2" });
  expect(other.distances.filter((distance, i) => distance === proof.dist[i])).toEqual([]);
  expect(other.n_invalid).toBeGreaterThan(0);
  expect(other.fraud_detected).toBe(true);
});

test("a stopped round goes on where it stopped", async () => {
  await post("/init/generate", { ...ROUND, block_hash: "next", r_target: 2 });
  await poll(status, ({ total_checked }) => total_checked >= 8);
  const stopped = (await post<CommandAnswer>("/stop")).pow_status;
  await post("/phase/generate");
  await poll(status, ({ total_checked }) => total_checked >= stopped.total_checked + 8);
  await post("/phase/validate");
  const { valid_nonces, round_id } = await status();
  expect(round_id).toBe(stopped.round_id);
  expect(valid_nonces).toEqual(valid_nonces.map((_, i) => ROUND.node_id + i * ROUND.node_count));
});

test("inference steps aside for the round only", async () => {
  await post("/init/generate", ROUND);
  const refused = await node.get("/v1/models");
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).not.toBeNull();
  expect((await node.get("/health")).status).toBe(200);
  await post("/stop");
  expect((await node.get("/v1/models")).status).toBe(200);
});
