/** One round's book: its configuration, counts, finds and clocks. */

import type { FindRecord, Finds, RoundBook, RoundConfig } from "../proof/scheme.ts";
import type { RoundState } from "../wire/schemas.ts";
import { FoundList } from "./found-list.ts";
import type { SearchedWith } from "./searched-with.ts";
import type { RoundCounters, RoundProgress, RoundRecord, StoredRound } from "./store.ts";

/** Counts seconds while it runs, and keeps them while it does not. */
class Stopwatch {
  readonly #now: () => number;
  #seconds: number;
  #since: number | null = null;

  constructor(now: () => number, seconds: number) {
    this.#now = now;
    this.#seconds = seconds;
  }

  get seconds(): number {
    const running = this.#since === null ? 0 : Math.max(0, this.#now() - this.#since) / 1000;
    return this.#seconds + running;
  }

  set(isRunning: boolean): void {
    if (isRunning === (this.#since !== null)) return;
    this.#seconds = this.seconds;
    this.#since = isRunning ? this.#now() : null;
  }
}

/** Holds only what is stored: finds and counts enter through `apply`, after the store has them. */
export class Ledger implements RoundBook {
  readonly round_id: string;
  readonly config: RoundConfig;
  readonly #nonces: FoundList<number>;
  readonly #records: FoundList<FindRecord>;
  readonly #elapsed: Stopwatch;
  readonly #generating: Stopwatch;
  #position: number;
  #nonfinite: number;
  /**
   * With what the round is searched; null when no search is meant to go on. It outlives the search that
   * ends without a command, and is stored with the counts.
   */
  searchedWith: SearchedWith | null;

  /** A new round, or one that was read back; its clocks stand until `enter`. */
  constructor(round: RoundRecord | StoredRound, now: () => number) {
    const stored = "counters" in round ? round : null;
    this.round_id = round.round_id;
    this.config = round.config;
    this.#nonces = new FoundList(stored?.nonces ?? []);
    this.#records = new FoundList(stored?.records ?? []);
    this.#position = stored?.counters.position ?? 0;
    this.#nonfinite = stored?.counters.total_nonfinite ?? 0;
    this.searchedWith = stored?.counters.searched_with ?? null;
    this.#elapsed = new Stopwatch(now, stored?.counters.elapsed_seconds ?? 0);
    this.#generating = new Stopwatch(now, stored?.counters.generating_seconds ?? 0);
  }

  /** Nonces counted so far: also the index of the next one to count. */
  get position(): number {
    return this.#position;
  }

  /** Valid nonces found so far. */
  get found(): number {
    return this.#nonces.length;
  }

  get nonfinite(): number {
    return this.#nonfinite;
  }

  get elapsed_seconds(): number {
    return this.#elapsed.seconds;
  }

  get generating_seconds(): number {
    return this.#generating.seconds;
  }

  /** The finds from the `since`-th on, at most `limit`; the arrays are not to be changed. */
  finds(page: { since: number; limit: number }): Finds {
    return {
      nonces: this.#nonces.slice(page.since, page.limit),
      records: this.#records.slice(page.since, page.limit),
    };
  }

  /** Sets the two clocks: one runs unless the round is STOPPED, one only while it is GENERATING. */
  enter(state: RoundState): void {
    this.#elapsed.set(state !== "STOPPED");
    this.#generating.set(state === "GENERATING");
  }

  /** The totals as they would be after `nonces` more, `nonfinite` of them not finite. */
  countersAfter(nonces: number, nonfinite: number): RoundCounters {
    return {
      position: this.#position + nonces,
      total_nonfinite: this.#nonfinite + nonfinite,
      elapsed_seconds: this.elapsed_seconds,
      generating_seconds: this.generating_seconds,
      searched_with: this.searchedWith,
    };
  }

  /** Takes over what the store has. */
  apply(progress: RoundProgress): void {
    this.#nonces.append(progress.nonces);
    this.#records.append(progress.records);
    this.#position = progress.counters.position;
    this.#nonfinite = progress.counters.total_nonfinite;
  }
}
