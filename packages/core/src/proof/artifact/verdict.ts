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

/** What a prover has sent, and what it is judged by. */
export interface Claimed {
  /**
   * The vectors in the order of the request's nonces, as their prover sent them; a nonce without one,
   * or with "", is not judged and still counts in n_total.
   */
  readonly received: Pick<readonly string[], "at">;
  readonly test: StatTest;
}

/** Judges artifacts some at a time, as they are computed again: a hundred thousand at once take long. */
export class ArtifactJudge {
  readonly #claimed: Claimed;
  readonly #mismatches: number[] = [];
  readonly #excluded: number[] = [];
  #count = 0;

  constructor(claimed: Claimed) {
    this.#claimed = claimed;
  }

  /**
   * @param nonces the next ones of the request
   * @param values [nonces, k], computed here
   */
  take(nonces: readonly number[], values: Float32Array): void {
    const { received, test } = this.#claimed;
    const k = values.length / nonces.length;
    for (const [i, nonce] of nonces.entries()) {
      const vector = received.at(this.#count + i) ?? "";
      // As the prover's own was: rounded to what goes over the wire.
      const own = decodeVector(encodeVector(values.subarray(i * k, (i + 1) * k)), k);
      if (!own) this.#excluded.push(nonce);
      else if (vector !== "" && isMismatch(own, vector, test.dist_threshold)) {
        this.#mismatches.push(nonce);
      }
    }
    this.#count += nonces.length;
  }

  /** On all that was taken. */
  judgement(): Judgement {
    const { p_mismatch, fraud_threshold } = this.#claimed.test;
    const n_total = this.#count - this.#excluded.length;
    const n_mismatch = this.#mismatches.length;
    const p_value = binomialTail(n_mismatch, n_total, p_mismatch);
    const fraud_detected = p_value < fraud_threshold;
    const [mismatch_nonces, excluded_nonces] = [[...this.#mismatches], [...this.#excluded]];
    return { n_total, n_mismatch, mismatch_nonces, p_value, fraud_detected, excluded_nonces };
  }
}

/** Whether so much of the own arithmetic failed that there is no verdict. */
export function isAborted({ n_total, excluded_nonces }: Judgement): boolean {
  const { length } = excluded_nonces;
  return length > Math.max(MAX_EXCLUDED.count, MAX_EXCLUDED.share * (n_total + length));
}
