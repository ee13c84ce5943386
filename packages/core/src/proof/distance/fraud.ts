/** The statistics of a verdict: docs/protocol.md §3, ValidatedBatch. */
import { incompleteBeta } from "../beta.ts";

/** How often an honest node's nonce is found invalid. */
const MISMATCH_PROBABILITY = 5e-4;

/**
 * P(X ≥ k) for X ~ Binomial(n, p), as the regularised incomplete beta function I_p(k, n − k + 1).
 *
 * @param k 0 … n
 * @param n ≥ 0
 * @param p in (0, 1)
 */
export function binomialTail(k: number, n: number, p: number): number {
  if (k === 0) return 1;
  return incompleteBeta(p, k, n - k + 1);
}

/** The probability that an honest prover has at least `nInvalid` of `n` invalid; −1 for n = 0. */
export function probabilityHonest(nInvalid: number, n: number): number {
  return n === 0 ? -1 : binomialTail(nInvalid, n, MISMATCH_PROBABILITY);
}
