/** How many subscriptions there may be: on one connection, of one caller, and of all together. */
import { TRPCError } from "@trpc/server";

/** On one connection. */
const MAX_EACH = 64;
/**
 * In all, of which a caller has no more than he leaves free, so that whoever comes beside him finds
 * some. Past it a connection may still have one, so that a crowd keeps nobody out.
 */
const MAX_IN_ALL = 8192;

export class Subscriptions {
  readonly #maxInAll: number;
  /** Of each caller that has any. */
  readonly #callers = new Map<string, number>();
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
   * @param caller whose connection it is; asked at each subscription, since a key may come late
   * @throws TRPCError TOO_MANY_REQUESTS, from what counts in
   */
  connection(caller: () => string): () => () => void {
    let here = 0;
    return () => {
      if (here >= MAX_EACH) refuse(`At most ${MAX_EACH} subscriptions on one connection`);
      const name = caller();
      const free = this.#maxInAll - this.#inAll;
      if (here > 0 && this.#of(name) >= free) {
        refuse(
          `One subscription on a connection while you have as many as are free (${Math.max(0, free)})`,
        );
      }
      here++;
      this.#count(name, 1);
      return () => {
        here--;
        this.#count(name, -1);
      };
    };
  }

  #of(caller: string): number {
    return this.#callers.get(caller) ?? 0;
  }

  #count(caller: string, more: 1 | -1): void {
    this.#inAll += more;
    const his = this.#of(caller) + more;
    if (his > 0) this.#callers.set(caller, his);
    else this.#callers.delete(caller);
  }
}

function refuse(message: string): never {
  throw new TRPCError({ code: "TOO_MANY_REQUESTS", message });
}
