/** How many nonces a job has. */
import type { AttachedRunner } from "./dispatcher.ts";

/** A job should take about so many milliseconds: long enough to be efficient, short enough to steer. */
const TARGET_MS = 500;

/** No job has more: the most that a `batch_size` may be. */
const MAX_BATCH = 1024;

/**
 * Finds the size at which a job takes one runner about half a second. Sizes are multiples of what
 * the runner prefers, and at least that: a GPU takes as long for fewer.
 */
export class BatchSizer {
  /** Nonces that the runner computes together: no job that has as many to take has fewer; ≥ 1. */
  readonly preferred: number;
  readonly #largest: number;
  /** 0 before the first job. */
  #size = 0;
  #lastGiven = 0;

  /** @param options.largest no job is larger, unless it is one preferred batch */
  constructor(options: { preferred: number; largest: number }) {
    this.preferred = options.preferred;
    this.#largest = options.largest;
  }

  /** The size of the next job. */
  next(): number {
    const size = Math.min(this.#size, this.#largest);
    this.#lastGiven = Math.max(size - (size % this.preferred), this.preferred);
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

/** The sizes of a round's jobs. Each runner has a sizer of its own, for no two are as fast. */
export class BatchSizers {
  readonly #round: { seq_len: number; batch_size: number };
  readonly #sizers = new WeakMap<AttachedRunner, BatchSizer>();

  constructor(round: { seq_len: number; batch_size: number }) {
    this.#round = round;
  }

  of(runner: AttachedRunner): BatchSizer {
    const known = this.#sizers.get(runner);
    if (known) return known;
    const { seq_len, batch_size } = this.#round;
    const together = Math.floor(runner.info.preferred_tokens / seq_len);
    const preferred = Math.min(Math.max(together, 1), MAX_BATCH);
    const sizer = new BatchSizer({ preferred, largest: batch_size });
    this.#sizers.set(runner, sizer);
    return sizer;
  }
}
