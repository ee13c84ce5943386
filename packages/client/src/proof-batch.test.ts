import { expect, test } from "vitest";
import { toProofBatch } from "./proof-batch.ts";

const ROUND = { public_key: "node1", block_hash: "abc123", block_height: 100, node_id: 0 };

test("finds of a status, and finds that are given, become a proof", () => {
  const status = { ...ROUND, state: "STOPPED", valid_nonces: [1, 5], valid_distances: [1.3, 1.2] };
  expect(toProofBatch(status)).toEqual({ ...ROUND, nonces: [1, 5], dist: [1.3, 1.2] });
  expect(toProofBatch(status, { nonces: [9], distances: [1] })).toEqual({
    ...ROUND,
    ...{ nonces: [9], dist: [1] },
  });
  const { node_id: _, ...round } = ROUND;
  expect(toProofBatch(round, { nonces: [], distances: [] }).node_id).toBe(-1);
});

test("what cannot be a proof is refused", () => {
  const finds = { nonces: [1, 2], distances: [1] };
  expect(() => toProofBatch(ROUND, finds)).toThrow("one distance for each of 2 nonces, got 1");
  expect(() => toProofBatch({ ...ROUND, block_hash: null }, finds)).toThrow(/^round: /);
});
