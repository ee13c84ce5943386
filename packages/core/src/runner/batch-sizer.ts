/** How many nonces a job has. */
import type { AttachedRunner } from "./dispatcher.ts";

/** What a job should take, milliseconds: long enough to be efficient, short enough to wait for. */
const TARGET_MS = 500;

/** No job has more: the most that a `batch_size` may be. */
const MAX_BATCH = 1024;

/**
 * Finds the size at which a job takes one runner about half a second. Sizes are multiples of the
 * nonces that the runner computes together, since a GPU takes as long for fewer.
 */
class BatchSizer {
  /** Nonces that the runner computes together, ≥ 1: the smallest size. */
  readonly preferred: number;
  readonly #largest: number;
  /** 0 before the first job. */
  #size = 0;
  #lastGiven = 0;
  /** What a nonce took in the last job; null before the first. */
  #millisecondsEach: number | null = null;

  /** @param options.largest the greatest size, but for `preferred` where that is greater */
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
   * Learns from a finished job: the size shrinks at once, and grows at most twofold. A job of fewer
   * nonces than `next` said, such as the end of a proof, says nothing: each of them cost more.
   */
  observe(count: number, milliseconds: number): void {
    if (count < this.#lastGiven) return;
    const ideal = milliseconds > 0 ? Math.floor((count * TARGET_MS) / milliseconds) : 2 * count;
    this.#size = Math.min(ideal, 2 * count);
    this.#millisecondsEach = milliseconds / count;
  }

  /** What a job of so many nonces takes by what the last one took, milliseconds; null before the first. */
  expected(count: number): number | null {
    if (this.#millisecondsEach === null) return null;
    return Math.max(count, this.preferred) * this.#millisecondsEach;
  }
}

/** The sizes of a round's jobs: a sizer for each runner, since one may be faster than another. */
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
