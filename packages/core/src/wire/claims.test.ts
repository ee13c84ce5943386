/** Jobs of artifacts between their body and their computation. */
import { serialize } from "node:v8";
import { expect, test } from "vitest";
import { checkBody } from "./body.ts";
import { SentClaims, textAt } from "./claims.ts";

const JOB = {
  ...{ block_hash: "b", block_height: 1, public_key: "p", node_id: 0, node_count: 1 },
  params: { model: "model", seq_len: 16 },
};

const LIMITS = { defaults: { seq_len: 16, batch_size: 1 } };

function checked(nonces: number[], artifacts: { nonce: number; vector_b64: string }[]) {
  return checkBody("ArtifactJob", { ...JOB, nonces, validation: { artifacts } }, LIMITS);
}

test("a prover's vectors are put in the job's order; of two for one nonce the last counts", () => {
  const sent = { 3: "AAAA", 9: "", 5: "é😀", 7: "no vector" };
  const artifacts = Object.entries(sent).map(([nonce, vector_b64]) => ({
    nonce: Number(nonce),
    vector_b64,
  }));
  const nonces = [9, 5, 3, 9, 7];
  const job = checked(nonces, [{ nonce: 3, vector_b64: "BBBB" }, ...artifacts.reverse()]);
  const vectors = job.validation?.vectors_b64;
  expect([0, 1, 2, 3, 4, 5].map((place) => vectors && textAt(vectors, place))).toEqual([
    ...["", "é😀", "AAAA", "", "no vector", undefined],
  ]);
  if (!vectors) throw new Error("no vectors");
  const claims = new SentClaims(nonces, vectors);
  expect(checked(nonces, claims.slice(0, claims.length))).toEqual(job);
  expect(claims.slice(2, 9)).toEqual(claims.slice(0, 5).slice(2));
});

test.each([
  ["one is missing", [1, 2], [1]],
  ["one is too many", [1], [1, 2]],
  ["one is another", [1, 2], [1, 3]],
])("there are none where %s", (_, nonces, sent) => {
  const artifacts = sent.map((nonce) => ({ nonce, vector_b64: "" }));
  expect(checked(nonces, artifacts).validation).toEqual({ vectors_b64: null });
});

test("a job of a hundred thousand crosses to another thread in few bytes", () => {
  const nonces = Array.from({ length: 100_000 }, (_, i) => i);
  const vector_b64 = "A".repeat(32);
  const job = checked(
    nonces,
    nonces.map((nonce) => ({ nonce, vector_b64 })),
  );
  expect(serialize(job).length).toBeLessThan(100_000 * (32 + 10));
});
