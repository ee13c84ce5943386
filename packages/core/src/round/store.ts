/** Where rounds are kept: core's port to storage, and the store that keeps them in memory only. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { FindRecord, Finds, RoundConfig } from "../proof/scheme.ts";
import type { SearchedWith } from "./searched-with.ts";

/** What a round is to be. */
export interface NewRound {
  /** The name of what it proves; config and records are that scheme's own. */
  readonly scheme: string;
  readonly config: RoundConfig;
}

/** A round as it begins. */
export interface RoundRecord extends NewRound {
  /** A ULID: it names the round for good. A later round's is greater. */
  readonly round_id: string;
}

/** The totals of a round and whether it is searched, as they stand after a piece of progress. */
export interface RoundCounters {
  /** Nonces of the sequence that are counted: also the index of the next one. */
  readonly position: number;
  /** Those among them whose result was not finite. */
  readonly total_nonfinite: number;
  /** Seconds since init without the time spent STOPPED. */
  readonly elapsed_seconds: number;
  /** Seconds spent GENERATING. */
  readonly generating_seconds: number;
  /** With what it is searched, until a command ends the search; null when none is meant to go on. */
  readonly searched_with: SearchedWith | null;
}

/** One step of a round: what was found between two positions, and the totals after it. */
export interface RoundProgress {
  /** The position before; `counters.position` is the one after. */
  readonly from: number;
  /** Valid nonces among them, in sequence order. */
  readonly nonces: readonly number[];
  /** What is kept of each. */
  readonly records: readonly FindRecord[];
  /** What computed them (docs/protocol.md §1), "" where there is nothing. */
  readonly arithmetic: string;
  readonly counters: RoundCounters;
}

/** A round as it is read back. */
export interface StoredRound extends RoundRecord, Finds {
  readonly counters: RoundCounters;
}

/** A verdict, or what a job has computed, that is due for delivery. */
export interface DueVerdict {
  readonly callback_url: string;
  /** The name of the proof that it is about. */
  readonly scheme: string;
  /** Which of the URL's paths it goes to. */
  readonly kind: "generated" | "validated";
  /** JSON, as the scheme judged. */
  readonly batch: object;
}

/** A job that its caller does not wait for, until it has ended. */
export interface KeptJob {
  readonly id: string;
  /** JSON: as it was asked, and what else who keeps it wants to know. */
  readonly body: string;
}

/**
 * Each promise resolves only once its data would survive whatever the store is made to survive; the
 * data is shown to nobody before. A call that rejects has stored either nothing or all of it.
 *
 * Calls for one round come one at a time, in order.
 */
export interface RoundStore {
  /** Keeps a new round, which is the last one from now on. At least the last two stay readable. */
  create(round: RoundRecord): Promise<void>;
  /**
   * Adds progress to a round. Rejects when the round is not kept any more, or when `from` lies
   * past what is stored. Progress that is stored already (its first answer was an error, so it is
   * sent again) replaces the counters and adds no finds; a step may also have no finds at all.
   */
  append(roundId: string, progress: RoundProgress): Promise<void>;
  /** Keeps a verdict until it is delivered, or too old. Finds need no such call: `append` does it. */
  enqueue(verdict: DueVerdict): Promise<void>;
  /** Keeps a job, so that a later process computes it where this one ends before. */
  keepJob(job: KeptJob): Promise<void>;
  /** A job has ended, and is kept no longer; what it has come to, if anything, is due in the same step. */
  endJob(id: string, due: DueVerdict | null): Promise<void>;
  /** The jobs that have not ended, in the order in which they came. */
  jobs(): Promise<KeptJob[]>;
  /** Of all rounds that are kept, the greatest id; null when there is none. */
  greatestId(): Promise<string | null>;
  /** The last two rounds, or as many as there are, oldest first. */
  recent(): Promise<StoredRound[]>;
  /** Resolves when the store could keep data now; rejects with the reason when it could not. */
  probe(): Promise<void>;
}

/** What a store keeps at least. */
export const KEPT_ROUNDS = 2;

const NOTHING_YET: RoundCounters = {
  position: 0,
  total_nonfinite: 0,
  elapsed_seconds: 0,
  generating_seconds: 0,
  searched_with: null,
};

/** Keeps the last two rounds until the process ends; asynchronous, as a real store is. */
export class MemoryRoundStore implements RoundStore {
  /** Nobody delivers them. */
  readonly verdicts: DueVerdict[] = [];
  /** Oldest first. */
  readonly #rounds = new Map<string, StoredRound>();
  readonly #jobs = new Map<string, KeptJob>();

  async create(round: RoundRecord): Promise<void> {
    await nextTurn();
    this.#rounds.set(round.round_id, {
      ...structuredClone(round),
      counters: NOTHING_YET,
      nonces: [],
      records: [],
    });
    for (const id of this.#rounds.keys()) {
      if (this.#rounds.size <= KEPT_ROUNDS) break;
      this.#rounds.delete(id);
    }
  }

  async append(roundId: string, progress: RoundProgress): Promise<void> {
    await nextTurn();
    const round = this.#rounds.get(roundId);
    if (!round) throw new Error(`round ${roundId} is not kept`);
    const { position } = round.counters;
    if (progress.from > position) {
      throw new Error(`progress from ${progress.from}, but only ${position} is stored`);
    }
    if (progress.from === position && progress.counters.position > position) {
      for (const nonce of progress.nonces) round.nonces.push(nonce);
      for (const record of progress.records) round.records.push(record);
    }
    this.#rounds.set(roundId, { ...round, counters: { ...progress.counters } });
  }

  async enqueue(verdict: DueVerdict): Promise<void> {
    await nextTurn();
    this.verdicts.push(structuredClone(verdict));
  }

  async keepJob(job: KeptJob): Promise<void> {
    await nextTurn();
    this.#jobs.set(job.id, { ...job });
  }

  async endJob(id: string, due: DueVerdict | null): Promise<void> {
    await nextTurn();
    this.#jobs.delete(id);
    if (due) this.verdicts.push(structuredClone(due));
  }

  async jobs(): Promise<KeptJob[]> {
    await nextTurn();
    return [...this.#jobs.values()];
  }

  async greatestId(): Promise<string | null> {
    await nextTurn();
    return [...this.#rounds.keys()].sort().at(-1) ?? null;
  }

  async probe(): Promise<void> {}

  async recent(): Promise<StoredRound[]> {
    await nextTurn();
    return structuredClone([...this.#rounds.values()]);
  }
}
