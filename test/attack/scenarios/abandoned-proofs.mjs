// Long proofs from callers who hang up half a second later.
import { ROUND } from "../paced-node.mjs";
import { again, post, writeOnly } from "../sockets.mjs";

export const node = {};

const NONCES = 4096;

export async function attack(target) {
  const { block_hash, block_height } = ROUND;
  await again({ count: 64, milliseconds: 500 }, (number) => {
    const nonces = Array.from({ length: NONCES }, (_, i) => 1e9 + number * NONCES + i);
    const body = {
      ...{ block_hash, block_height, public_key: "stranger", node_id: 0 },
      ...{ nonces, dist: nonces.map(() => 1.25) },
    };
    return writeOnly(target, post("/api/v1/pow/validate", body));
  });
}
