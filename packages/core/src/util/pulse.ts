/** Wakes everybody who waits for a change, together and not more often than they can use it. */

/**
 * Everybody who waits is woken within `milliseconds` of a change, once for all changes until then.
 * They share one timer, so that thousands may wait.
 *
 * @example
 * for (;;) {
 *   const seen = pulse.beats;   // before reading, so that a change meanwhile is not missed
 *   read();
 *   await pulse.after(seen, signal);
 * }
 */
export class Pulse {
  readonly #milliseconds: number;
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | null = null;
  #beats = 0;

  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
  }

  /** How many times it has woken those who wait. */
  get beats(): number {
    return this.#beats;
  }

  /** Something has changed. */
  touch(): void {
    this.#timer ??= setTimeout(() => this.#beat(), this.#milliseconds).unref();
  }

  /** Resolves when `beats` is greater than `seen`, or when `signal` aborts. */
  after(seen: number, signal: AbortSignal): Promise<void> {
    if (this.#beats > seen || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }

  #beat(): void {
    this.#timer = null;
    this.#beats++;
    for (const wake of this.#waiting) wake();
  }
}
