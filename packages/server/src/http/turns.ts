/** Lets work begin a little at a time, so that the event loop never stands still for a crowd. */

/** What begins in one turn of the event loop at most. */
const PER_TURN = 8;

/** First come, first served. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  /** Beginnings that the event loop will call, in this turn or the next. */
  #called = 0;

  /** Calls `begin` when its turn has come, never at once. */
  take(begin: () => void): void {
    this.#waiting.push(begin);
    this.#callNext();
  }

  /** Resolves when its turn has come. */
  next(): Promise<void> {
    return new Promise((resolve) => this.take(resolve));
  }

  #callNext(): void {
    // One that is called while others are will run in the turn after theirs.
    if (this.#called >= PER_TURN || this.#called >= this.#waiting.length) return;
    this.#called++;
    setImmediate(() => {
      const begin = this.#waiting.shift();
      try {
        begin?.();
      } finally {
        this.#called--;
        this.#callNext();
      }
    });
  }
}
