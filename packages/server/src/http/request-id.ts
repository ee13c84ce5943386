/** Names requests in answers and in the log. */
import { randomFillSync } from "node:crypto";
import { ulid } from "ulid";

/** Random bytes are drawn so many at a time: one by one they take longer than a small request. */
const pool = new Uint8Array(4096);
let used = pool.length;

/** A ULID. */
export function requestId(): string {
  return ulid(undefined, random);
}

/** In [0, 1), with as many digits as one character of a ULID needs. */
function random(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return (pool[used++] ?? 0) / 256;
}
