/** How many finds one request has: how many a receiver takes is found out by trying. */

/** After a size was refused a larger one is tried again so much later, milliseconds. */
const FIRST_HOLD_MS = 60_000;
/** Doubled with each such try that fails, up to this. */
const MAX_HOLD_MS = 3_600_000;

/**
 * Halved with each request that was too large, down to what is known to pass. Now and then twice as
 * much is tried: the limit may be gone, or it was the connection that failed and not the size.
 */
export class Portion {
  readonly #max: number;
  readonly #now: () => number;
  #size: number;
  /** The largest count that passed, as far as is known. */
  #passed = 0;
  /** No size above what passed is tried before. */
  #holdsUntil = Number.NEGATIVE_INFINITY;
  #holdMs = FIRST_HOLD_MS;
  /** Whether the size was doubled to see whether it passes. */
  #isTrial = false;

  /** @param now milliseconds of a clock that is never set */
  constructor(max: number, now: () => number = () => performance.now()) {
    this.#max = max;
    this.#now = now;
    this.#size = max;
  }

  /** Finds that the next request has at most, 1 to `max`. */
  get size(): number {
    return this.#size;
  }

  /**
   * A request with so many was too large.
   *
   * @returns whether fewer can be tried
   */
  shrink(count: number): boolean {
    if (count <= 1) return false;
    if (count <= this.#passed) this.#passed = 0;
    if (this.#isTrial) this.#holdMs = Math.min(2 * this.#holdMs, MAX_HOLD_MS);
    this.#isTrial = false;
    this.#holdsUntil = this.#now() + this.#holdMs;
    this.#size = Math.max(Math.floor(count / 2), this.#passed);
    return true;
  }

  /** A request with so many was taken. */
  passed(count: number): void {
    this.#passed = Math.max(this.#passed, count);
    if (count < this.#size) return; // a smaller request says nothing of a full one
    if (this.#isTrial) this.#holdMs = FIRST_HOLD_MS;
    const mayGrow = this.#isTrial || this.#now() >= this.#holdsUntil;
    this.#isTrial = mayGrow && this.#size < this.#max;
    if (this.#isTrial) this.#size = Math.min(2 * this.#size, this.#max);
  }
}
