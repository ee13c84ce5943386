/** How many subscriptions there may be: on one connection, and on all of them together. */
import { TRPCError } from "@trpc/server";

/** On one connection. */
const MAX_EACH = 64;
/** In all; past it a connection may still have one, so that a crowd keeps nobody out. */
const MAX_IN_ALL = 8192;

export class Subscriptions {
  readonly #maxInAll: number;
  #inAll = 0;

  constructor(maxInAll = MAX_IN_ALL) {
    this.#maxInAll = maxInAll;
  }

  /** All that are open. */
  get size(): number {
    return this.#inAll;
  }

  /**
   * Of one connection: what counts a subscription in, and gives what counts it out.
   *
   * @throws TRPCError TOO_MANY_REQUESTS, from what counts in
   */
  connection(): () => () => void {
    let here = 0;
    return () => {
      if (here >= MAX_EACH) refuse(`At most ${MAX_EACH} subscriptions on one connection`);
      if (here > 0 && this.#inAll >= this.#maxInAll) {
        refuse(`One subscription on a connection while there are ${this.#maxInAll} in all`);
      }
      here++;
      this.#inAll++;
      return () => {
        here--;
        this.#inAll--;
      };
    };
  }
}

function refuse(message: string): never {
  throw new TRPCError({ code: "TOO_MANY_REQUESTS", message });
}
