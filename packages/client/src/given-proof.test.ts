import { expect, test } from "vitest";
import { doubtsOf, proofIn } from "./given-proof.ts";

const ROUND = { public_key: "node1", block_hash: "abc123", block_height: 100, node_id: 0 };
const PROOF = { ...ROUND, nonces: [1, 5], dist: [1.3, 1.2] };
const STATUS = { ...ROUND, state: "STOPPED", round_id: "01J", arithmetic: "cpu-1" };

test("a proof is taken as it is, whatever computed it", () => {
  expect(proofIn(PROOF)).toEqual({ proof: PROOF, arithmetic: null });
  const batch = { ...PROOF, arithmetic: "cpu-1", round_id: null, r_target: null };
  expect(proofIn(batch)).toEqual({ proof: batch, arithmetic: "cpu-1" });
});

test("a status holds a proof under other names, and what the command line prints under both", () => {
  const finds = { valid_nonces: [1, 5], valid_distances: [1.3, 1.2] };
  const ofStatus = proofIn({ ...STATUS, ...finds });
  expect(ofStatus.arithmetic).toBe("cpu-1");
  expect(ofStatus.proof).toEqual({ ...STATUS, nonces: [1, 5], dist: [1.3, 1.2] });
  const both = { ...STATUS, ...finds, nonces: [1], dist: [1.3] };
  expect(proofIn(both).proof).toEqual(both);
});

test("a node without a round has none; of what is none the node says so", () => {
  const empty = { valid_nonces: [], valid_distances: [], public_key: null, block_height: null };
  const idle = { ...empty, state: "IDLE", round_id: null, block_hash: null };
  expect(() => proofIn(idle)).toThrow("the status of a node without a round");
  for (const none of [null, 7, "proof", [], {}]) {
    expect(proofIn(none)).toEqual({ proof: none, arithmetic: null });
  }
  expect(proofIn({ ...PROOF, arithmetic: 7 }).arithmetic).toBe(null);
});

test("a verdict is doubted where everything is valid, and where the proof rounds otherwise", () => {
  const answer = { r_target: 1.4, arithmetic: "cpu-1" };
  expect(doubtsOf(answer, null)).toEqual([]);
  expect(doubtsOf(answer, "cpu-1")).toEqual([]);
  expect(doubtsOf({ ...answer, r_target: 1.9999 }, null)).toEqual([]);
  expect(doubtsOf({ ...answer, r_target: 2 }, "cuda-1")).toEqual([
    expect.stringContaining("no distance is beyond the round's r_target"),
    expect.stringContaining("the proof was computed in cuda-1, which rounds otherwise"),
  ]);
});
