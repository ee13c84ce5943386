/** Lets many wait for changes and wakes them together, not more often than they can use it. */

/**
 * A change wakes whoever waits after `milliseconds` at most; changes meanwhile ride along. Waiting
 * costs no timer and no listener of one's own, so that thousands may.
 *
 * @example
 * for (;;) {
 *   const seen = pulse.beats;   // first: what changes while we read is not missed
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

  /** How often it has beaten. */
  get beats(): number {
    return this.#beats;
  }

  /** Something has changed. */
  touch(): void {
    this.#timer ??= setTimeout(() => this.#beat(), this.#milliseconds).unref();
  }

  /** Resolves when it has beaten more than `seen` times, or when `signal` aborts. */
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
