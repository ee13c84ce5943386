// Jobs of a hundred thousand artifacts to be judged, one after another: one waits at most, the others are
// read and checked to be refused.
import { again, post, writeOnly } from "../sockets.mjs";

const NONCES = 100_000;

export const node = { state: "STOPPED" };
// The others would need a round.
export const honest =
  "status,status on a connection of its own,page,batch,WebSocket call,documents";

const nonces = Array.from({ length: NONCES }, (_, nonce) => nonce);
const vector_b64 = "FzO7s2IpcCYTsbCt3rhPNswkdLZ7Nj4s";
const job = post("/api/v1/pow/generate", {
  ...{ block_hash: "checked", block_height: 1, public_key: "02ab", node_id: 0, node_count: 1 },
  ...{ params: { model: "proofmill-demo", seq_len: 1 }, url: "http://127.0.0.1:1/nowhere" },
  nonces,
  validation: { artifacts: nonces.map((nonce) => ({ nonce, vector_b64 })) },
});

export const attack = (target) =>
  again({ count: 2, milliseconds: 1000 }, () => writeOnly(target, job));
