/** A prover's artifacts and their recomputation → a verdict (docs/protocol-v2.md §4). */
import { binomialTail } from "../beta.ts";
import { decodeVector, encodeVector } from "./vector.ts";

/** What tells an honest prover from another. */
export interface StatTest {
  /** Artifacts that are farther apart do not match; their vectors have length 1. */
  readonly dist_threshold: number;
  /** How often an honest node's artifact does not match, [0, 1]. */
  readonly p_mismatch: number;
  /** Fraud is where fewer than so many honest provers of one would have as many mismatches. */
  readonly fraud_threshold: number;
}

/** Of the nonces whose own recomputation is not finite one, or a tenth, may be left out. */
const MAX_EXCLUDED = { count: 1, share: 0.1 };

export interface Judgement {
  /** Nonces of the request, as often as they stand there, but for the excluded ones. */
  readonly n_total: number;
  readonly n_mismatch: number;
  /** In the request's order. */
  readonly mismatch_nonces: number[];
  /** P(an honest prover has at least n_mismatch). */
  readonly p_value: number;
  readonly fraud_detected: boolean;
  /** Nonces of which nothing can be said: the node's own arithmetic failed. */
  readonly excluded_nonces: number[];
}

/**
 * Whether a prover's vector is not the one that was computed here: it is no k finite numbers, or too
 * far away. Nothing is said where the own vector is not finite.
 *
 * @param own [k]
 */
export function isMismatch(own: Float32Array, received: string, distThreshold: number): boolean {
  const claimed = decodeVector(received, own.length);
  if (!claimed) return true;
  let squares = 0;
  own.forEach((value, i) => {
    squares += Math.fround(value - (claimed[i] ?? Number.NaN)) ** 2;
  });
  return Math.fround(Math.sqrt(squares)) > distThreshold;
}

/**
 * @param claim.received a nonce's vector as its prover sent it; a nonce without one, or with "", is
 *   not judged and still counts in n_total
 * @param values [nonces, k], computed here
 */
export function judgeArtifacts(
  claim: { nonces: readonly number[]; received: ReadonlyMap<number, string>; test: StatTest },
  values: Float32Array,
): Judgement {
  const { nonces, received, test } = claim;
  const k = nonces.length > 0 ? values.length / nonces.length : 0;
  const mismatch_nonces: number[] = [];
  const excluded_nonces: number[] = [];
  nonces.forEach((nonce, i) => {
    const row = values.subarray(i * k, (i + 1) * k);
    const vector = received.get(nonce) ?? "";
    // As the prover's own was: rounded to what goes over the wire.
    const own = decodeVector(encodeVector(row), k);
    if (!own) excluded_nonces.push(nonce);
    else if (vector !== "" && isMismatch(own, vector, test.dist_threshold)) {
      mismatch_nonces.push(nonce);
    }
  });
  const n_total = nonces.length - excluded_nonces.length;
  const n_mismatch = mismatch_nonces.length;
  const p_value = binomialTail(n_mismatch, n_total, test.p_mismatch);
  const fraud_detected = p_value < test.fraud_threshold;
  return { n_total, n_mismatch, mismatch_nonces, p_value, fraud_detected, excluded_nonces };
}

/** Whether so much of the own arithmetic failed that there is no verdict. */
export function isAborted({ n_total, excluded_nonces }: Judgement): boolean {
  const { length } = excluded_nonces;
  return length > Math.max(MAX_EXCLUDED.count, MAX_EXCLUDED.share * (n_total + length));
}
