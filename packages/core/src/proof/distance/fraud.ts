/** The statistics of a verdict: docs/protocol.md §3, ValidatedBatch. */
import { binomialTail } from "../beta.ts";

/** How often an honest node's nonce is found invalid. */
const MISMATCH_PROBABILITY = 5e-4;

/** The probability that an honest prover has at least `nInvalid` of `n` invalid; −1 for n = 0. */
export function probabilityHonest(nInvalid: number, n: number): number {
  return n === 0 ? -1 : binomialTail(nInvalid, n, MISMATCH_PROBABILITY);
}
