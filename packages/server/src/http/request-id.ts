/** Names requests in answers and in the log. */
import { randomFillSync } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { ulid } from "ulid";

/** Random bytes are drawn so many at a time: one by one they take longer than a small request. */
const pool = new Uint8Array(4096);
let used = pool.length;

/** What a caller may name a request by: short, and harmless in a log. */
const NAMED = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's own `X-Request-Id`, if it is fit for one; else a ULID. */
export function requestId(request?: IncomingMessage): string {
  const named = request?.headers["x-request-id"];
  return typeof named === "string" && NAMED.test(named) ? named : ulid(undefined, random);
}

/** In [0, 1), with as many digits as one character of a ULID needs. */
function random(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return (pool[used++] ?? 0) / 256;
}
