/** The statistics of a verdict: docs/protocol.md §3, ValidatedBatch. */
import { createRequire } from "node:module";

type Betainc = typeof import("@stdlib/math-base-special-betainc");

const require = createRequire(import.meta.url);
/** Loaded at the first verdict: its hundreds of files would take a quarter of a second at start. */
let betainc: Betainc | undefined;

/** How often an honest node's nonce is found invalid. */
export const MISMATCH_PROBABILITY = 5e-4;

/**
 * P(X ≥ k) for X ~ Binomial(n, p), as the regularised incomplete beta function I_p(k, n − k + 1).
 *
 * @param k 0 … n
 * @param n ≥ 0
 * @param p in (0, 1)
 */
export function binomialTail(k: number, n: number, p: number): number {
  if (k === 0) return 1;
  betainc ??= require("@stdlib/math-base-special-betainc") as Betainc;
  return betainc(p, k, n - k + 1);
}

/** The probability that an honest prover has at least `nInvalid` of `n` invalid; −1 for n = 0. */
export function probabilityHonest(nInvalid: number, n: number): number {
  return n === 0 ? -1 : binomialTail(nInvalid, n, MISMATCH_PROBABILITY);
}
