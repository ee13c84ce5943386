/** Lets work begin a little at a time, so that the event loop never stands still for a crowd. */

/**
 * Milliseconds that work may take in one turn of the event loop; the rest waits for the next. Few,
 * since each turn accepts one new connection: hundreds that come at once wait for as many turns.
 */
const BUDGET_MS = 1;

/** First come, first served. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #isServing = false;
  /** When this turn's first work began. */
  #begun = 0;

  /** Calls `begin` when its turn has come, never at once. */
  take(begin: () => void): void {
    this.#waiting.push(begin);
    if (this.#isServing) return;
    this.#isServing = true;
    setImmediate(this.#serve);
  }

  /** Resolves when its turn has come. */
  next(): Promise<void> {
    return new Promise((resolve) => this.take(resolve));
  }

  #serve = (): void => {
    this.#begun = performance.now();
    this.#serveOne();
  };

  #serveOne = (): void => {
    const begin = this.#waiting.shift();
    try {
      begin?.();
    } finally {
      // A tick comes when all promises that could go on have done so: their time counts too.
      queueMicrotask(() => process.nextTick(this.#goOn));
    }
  };

  #goOn = (): void => {
    if (this.#waiting.length === 0) this.#isServing = false;
    else if (performance.now() - this.#begun < BUDGET_MS) this.#serveOne();
    else setImmediate(this.#serve);
  };
}
