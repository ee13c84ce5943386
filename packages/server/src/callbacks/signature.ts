/** Signed callback bodies: HMAC-SHA-256 over the timestamp and the body. */
import { createHmac } from "node:crypto";

export const SIGNATURE_HEADER = "proofmill-signature";

/**
 * The header's value, `t=<seconds since 1970>,v1=<hex>`: the HMAC is over `<t>.<body>`, so that an
 * old body cannot be sent again under a new time.
 */
export function sign(options: { secret: string; body: string; now: number }): string {
  const { secret, body, now } = options;
  const t = Math.floor(now / 1000);
  return `t=${t},v1=${createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")}`;
}
