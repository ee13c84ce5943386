/** How many nonces a job has. */
import type { ModelInfo } from "./ports.ts";

/** A job should take about so many milliseconds: long enough to be efficient, short enough to steer. */
const TARGET_MS = 500;

/** No job has more: the most that a `batch_size` may be. */
const MAX_BATCH = 1024;

/** Nonces of this length that the runner computes together; ≥ 1. */
export function preferredBatch(info: ModelInfo, seqLen: number): number {
  return Math.min(Math.max(Math.floor(info.preferred_tokens / seqLen), 1), MAX_BATCH);
}

/**
 * Finds the size at which a job takes about half a second. Sizes are multiples of what the runner
 * prefers, and at least that: a GPU takes as long for fewer.
 */
export class BatchSizer {
  readonly #batchSize: number;
  /** 0 before the first job. */
  #size = 0;
  #lastGiven = 0;

  /** @param batchSize the round's `batch_size`: no job is larger, unless it is one preferred batch */
  constructor(batchSize: number) {
    this.#batchSize = batchSize;
  }

  /** The size of the next job, for a runner that prefers multiples of `preferred`. */
  next(preferred: number): number {
    const size = Math.min(this.#size, this.#batchSize);
    this.#lastGiven = Math.max(size - (size % preferred), preferred);
    return this.#lastGiven;
  }

  /**
   * Learns from a finished job: sizes shrink at once, and grow at most twofold. A job that was
   * smaller than could be (the end of a proof, say) costs more per nonce and teaches nothing.
   */
  observe(count: number, milliseconds: number): void {
    if (count < this.#lastGiven) return;
    const ideal = milliseconds > 0 ? Math.floor((count * TARGET_MS) / milliseconds) : 2 * count;
    this.#size = Math.min(ideal, 2 * count);
  }
}
