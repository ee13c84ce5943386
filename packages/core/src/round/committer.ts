/** Brings results into sequence order and stores them before anyone sees them. */

import type { FindRecord, Results } from "../proof/scheme.ts";
import type { Ledger } from "./ledger.ts";
import type { SearchedNonces } from "./meter.ts";
import type { NonceSequence } from "./nonces.ts";
import type { RoundProgress, RoundStore } from "./store.ts";

/** Pauses between the attempts to store one piece of progress, milliseconds. */
const RETRY_PAUSES_MS = [100, 200, 400, 800, 1600];

/** Results of consecutive indices, and the tag of what computed them. */
interface TaggedResults extends Results {
  readonly arithmetic: string;
}

interface CommitterOptions {
  ledger: Ledger;
  sequence: NonceSequence;
  store: RoundStore;
  /** These nonces are stored, and the ledger has changed; none where only its clocks were. */
  onCommit: (nonces: SearchedNonces) => void;
  /** An attempt to store failed and is made again after a pause. */
  onRetry: (error: Error, pauseMs: number) => void;
  /** Storing failed for now; the results are kept, and tried again when more come or on `resume`. */
  onFailure: (error: Error) => void;
}

/**
 * Results may come in any order; they are committed without gaps, so that a round's position is
 * one integer (docs/protocol.md §2). Each step is stored first and then counted, once.
 */
export class Committer {
  readonly #options: CommitterOptions;
  /** Index of the first → results that are not stored yet. */
  readonly #waiting = new Map<number, TaggedResults>();
  /** What is being stored. A retry sends the same again, since the store may have it already. */
  #pending: RoundProgress | null = null;
  #clocksAreDue = false;
  /** To be called once the clocks that are due have been stored, or could not be. */
  #whenClocksAre: (() => void)[] = [];
  /** The same for the clocks that are being stored. */
  #saving: (() => void)[] = [];
  #isStoring = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Pieces of progress that are computed but not stored. */
  get backlog(): number {
    return this.#waiting.size + (this.#pending ? 1 : 0);
  }

  /** Whether something was given to the store that it has not taken. */
  get hasUnstored(): boolean {
    return this.#pending !== null;
  }

  /** Whether something is on its way to the store. */
  get isStoring(): boolean {
    return this.#isStoring;
  }

  /** Takes the results of the indices from `start` on. No index may come twice in a round. */
  offer(start: number, results: TaggedResults): void {
    if (results.count === 0) return;
    this.#waiting.set(start, results);
    this.resume();
  }

  /**
   * Stores the round's clocks, and with what it is searched, so that they survive a restart. Resolves
   * when they are stored, or could not be now.
   */
  saveClocks(): Promise<void> {
    this.#clocksAreDue = true;
    const saved = new Promise<void>((resolve) => this.#whenClocksAre.push(resolve));
    this.resume();
    return saved;
  }

  /** Stores what there is, also what could not be stored before. */
  resume(): void {
    if (this.#isStoring) return;
    this.#isStoring = true;
    this.#loop = this.#run();
  }

  /** Resolves when nothing is being stored any more, whether it could be or not. */
  idle(): Promise<void> {
    return this.#loop;
  }

  async #run(): Promise<void> {
    for (;;) {
      this.#pending ??= this.#collect();
      if (!this.#pending) break;
      const error = await this.#store(this.#pending);
      for (const resolve of this.#saving.splice(0)) resolve();
      if (error) {
        for (const resolve of this.#whenClocksAre.splice(0)) resolve();
        this.#options.onFailure(error);
        break;
      }
      const { ledger } = this.#options;
      const { counters, nonces } = this.#pending;
      const step = {
        checked: counters.position - ledger.position,
        valid: nonces.length,
        nonfinite: counters.total_nonfinite - ledger.nonfinite,
      };
      ledger.apply(this.#pending);
      this.#pending = null;
      this.#options.onCommit(step);
    }
    this.#isStoring = false; // in the same turn as the last look, so that no offer is overlooked
  }

  /**
   * Everything of one arithmetic that follows the ledger's position without a gap; null when there
   * is nothing.
   */
  #collect(): RoundProgress | null {
    const { ledger, sequence } = this.#options;
    const from = ledger.position;
    const nonces: number[] = [];
    const records: FindRecord[] = [];
    let position = from;
    let nonfinite = 0;
    let arithmetic = "";
    for (;;) {
      const results = this.#waiting.get(position);
      if (!results || (arithmetic !== "" && results.arithmetic !== arithmetic)) break;
      this.#waiting.delete(position);
      arithmetic = results.arithmetic;
      for (const { place, record } of results.finds) {
        nonces.push(sequence.nonceAt(position + place));
        records.push(record);
      }
      nonfinite += results.nonfinite.length;
      position += results.count;
    }
    if (position === from && !this.#clocksAreDue) return null;
    this.#clocksAreDue = false;
    this.#saving = this.#whenClocksAre.splice(0);
    const counters = ledger.countersAfter(position - from, nonfinite);
    return { from, nonces, records, arithmetic, counters };
  }

  async #store(progress: RoundProgress): Promise<Error | null> {
    const { store, ledger, onRetry } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        await store.append(ledger.round_id, progress);
        return null;
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        const pauseMs = RETRY_PAUSES_MS[attempt];
        if (pauseMs === undefined) return error;
        onRetry(error, pauseMs);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }
}
