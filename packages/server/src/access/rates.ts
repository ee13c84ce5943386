/** How many requests a second each caller has: a token bucket for each key or address. */

/** So many callers are remembered; the one that has not asked for longest is forgotten. */
const MAX_CALLERS = 16_384;

interface Bucket {
  /** Requests that may be made at once; less than 0: owed. */
  level: number;
  /** Of the level, milliseconds. */
  at: number;
}

export class Rates {
  readonly #perSecond: number;
  readonly #now: () => number;
  /** Whoever asked last is last. */
  readonly #buckets = new Map<string, Bucket>();

  /** @param perSecond requests; so many may come at once after a pause */
  constructor(perSecond: number, now = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /**
   * Counts requests, unless their caller has had too many already.
   *
   * @returns milliseconds until it may ask again; 0: the requests may go on
   */
  take(caller: string, requests: number): number {
    const bucket = this.#bucketOf(caller);
    if (bucket.level < 1) return this.#untilNext(bucket);
    bucket.level -= requests;
    return 0;
  }

  /**
   * Counts requests that will be waited with.
   *
   * @returns milliseconds to wait before they go on
   */
  reserve(caller: string, requests: number): number {
    const bucket = this.#bucketOf(caller);
    const wait = bucket.level < 1 ? this.#untilNext(bucket) : 0;
    bucket.level -= requests;
    return wait;
  }

  #untilNext({ level }: Bucket): number {
    return ((1 - level) / this.#perSecond) * 1000;
  }

  #bucketOf(caller: string): Bucket {
    const now = this.#now();
    const bucket = this.#buckets.get(caller) ?? { level: this.#perSecond, at: now };
    const gained = ((now - bucket.at) / 1000) * this.#perSecond;
    bucket.level = Math.min(this.#perSecond, bucket.level + gained);
    bucket.at = now;
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_CALLERS && oldest !== undefined) this.#buckets.delete(oldest);
    return bucket;
  }
}
