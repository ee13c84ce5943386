/** Waiting that is not over because this process stood still. */

/** Of how many timers one patience is made. */
const PARTS = 10;

/**
 * Calls `end` once, when this process has run for so long. A process may be stopped for an hour, as by
 * SIGSTOP or with its machine; nobody could do anything meanwhile, and what is ready by then comes in
 * only after the timers. So one long timer is made of short ones, and a standstill costs one of them.
 * It keeps no process from ending.
 *
 * @example
 * const patience = new Patience(60_000, () => giveUp());
 * onProgress(() => patience.renew());
 * patience.stop();
 */
export class Patience {
  readonly #milliseconds: number;
  readonly #end: () => void;
  #left = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param milliseconds > 0 */
  constructor(milliseconds: number, end: () => void) {
    this.#milliseconds = milliseconds;
    this.#end = end;
    this.renew();
  }

  /** Begins anew, unless it has ended or was stopped. */
  renew(): void {
    const isOver = this.#timer !== undefined && this.#left === 0;
    if (isOver) return;
    clearTimeout(this.#timer);
    this.#left = PARTS;
    this.#next();
  }

  /** Never ends. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#left = 0;
  }

  #next(): void {
    this.#timer = setTimeout(() => {
      this.#left--;
      if (this.#left > 0) this.#next();
      else this.#end();
    }, this.#milliseconds / PARTS).unref();
  }
}
