/** How many nonces a job has. */

/** A job should take about so many milliseconds: long enough to be efficient, short enough to steer. */
const TARGET_MS = 500;

/**
 * Finds the size at which a job takes about half a second. Sizes are multiples of what the runner
 * prefers, except where the round's `batch_size` is less than one such multiple.
 */
export class BatchSizer {
  readonly #batchSize: number;
  /** 0 before the first job. */
  #size = 0;
  #lastGiven = 0;

  /** @param batchSize the round's `batch_size`: no job is larger */
  constructor(batchSize: number) {
    this.#batchSize = batchSize;
  }

  /** The size of the next job, for a runner that prefers multiples of `preferred`. */
  next(preferred: number): number {
    const largest = this.#batchSize - (this.#batchSize % preferred);
    const size = Math.min(this.#size, largest);
    const whole = Math.max(size - (size % preferred), preferred);
    this.#lastGiven = Math.min(whole, this.#batchSize);
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
