/** The search of one round: turns its sequence into jobs and their results into progress. */

import { type ProofScheme, type Results, type RoundConfig, readRows } from "../proof/scheme.ts";
import type { BatchSizers } from "../runner/batch-sizer.ts";
import {
  type AttachedRunner,
  type Dispatcher,
  type Outcome,
  takes,
  type Work,
} from "../runner/dispatcher.ts";
import type { Logger } from "../util/log.ts";
import { within } from "../util/time.ts";
import type { Committer } from "./committer.ts";
import { FaultPauses } from "./fault-pauses.ts";
import type { IndexRange, NonceSequence } from "./nonces.ts";

/**
 * Results that may wait to be stored, for each runner, before fresh nonces are held back. They also
 * wait for the oldest job, and every other runner may finish several while that is computed.
 */
const MAX_BACKLOG = 8;
/** After a cut the store has the time that the runners left, and so many milliseconds more. */
const STORE_GRACE_MS = 100;

export interface GeneratorOptions {
  scheme: ProofScheme;
  config: RoundConfig;
  sequence: NonceSequence;
  sizers: BatchSizers;
  committer: Committer;
  dispatcher: Dispatcher;
  log: Logger;
  /** Every runner failed job after job: the search has stopped itself. */
  onGiveUp: (error: Error) => void;
}

/** A job of the search that its runner has not answered. */
interface Batch {
  readonly range: IndexRange;
  readonly runner: AttachedRunner;
  readonly work: Work;
}

export class Generator {
  readonly #options: GeneratorOptions;
  readonly #inFlight = new Set<Batch>();
  readonly #pauses: FaultPauses;
  #isRunning = false;
  #whenEmpty: (() => void)[] = [];

  constructor(options: GeneratorOptions) {
    this.#options = options;
    this.#pauses = new FaultPauses(() => options.dispatcher.wake());
  }

  /** Searches on from where the sequence stands. Idempotent. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#options.committer.resume();
    this.#options.dispatcher.wake();
  }

  /** Gives out no more jobs; those in flight go on. */
  halt(): void {
    this.#isRunning = false;
    this.#pauses.clear();
  }

  /**
   * Halts, and cuts what is in flight. What the runners finished is counted; the rest goes back to
   * the front of the sequence (docs/protocol.md §2, note 2).
   *
   * @param graceMs how long the runners may take to answer; later results are discarded
   */
  async cut(graceMs: number): Promise<void> {
    const begin = performance.now();
    this.halt();
    this.#cancelAll();
    await within(graceMs, this.#emptied());
    for (const batch of this.#inFlight) this.#abandon(batch);
    const rest = graceMs - (performance.now() - begin);
    await within(Math.max(0, rest) + STORE_GRACE_MS, this.#options.committer.idle());
  }

  /** The next job for this runner, or null when there is none now. */
  next(runner: AttachedRunner): Work | null {
    const { scheme, sequence, sizers, committer, config, dispatcher } = this.#options;
    if (!this.#isRunning || this.#pauses.isPaused(runner)) return null;
    if (!takes(runner, config.seq_len)) return null;
    const isFull = committer.backlog >= MAX_BACKLOG * dispatcher.runners.length;
    // Nonces that were given back are never held back: the results may be waiting for just these.
    if (isFull && !sequence.hasReturned) return null;
    const range = sequence.take(sizers.of(runner).next());
    if (!range) return null;
    const nonces = Array.from({ length: range.count }, (_, i) => sequence.nonceAt(range.start + i));
    const batch: Batch = {
      range,
      runner,
      work: {
        job: scheme.job(config, nonces),
        width: scheme.width(config),
        settle: (outcome) => this.#settle(batch, outcome),
      },
    };
    this.#inFlight.add(batch);
    return batch.work;
  }

  #settle(batch: Batch, outcome: Outcome): void {
    if (!this.#inFlight.delete(batch)) return; // abandoned: its nonces have been given back
    const { scheme, config, sequence, committer, sizers } = this.#options;
    const { range, runner } = batch;
    const { start, count } = range;
    const finished = outcome.kind === "done" ? outcome.completed : 0;
    sequence.giveBack({ start: start + finished, count: count - finished });
    if (outcome.kind === "done") {
      const { values, arithmetic, milliseconds } = outcome;
      if (finished === count) sizers.of(runner).observe(count, milliseconds);
      if (finished > 0) this.#pauses.recover(runner);
      else this.#fault(runner, new Error("the runner finished none of a job's nonces"));
      const results = readRows(scheme, config, values);
      this.#warnOfNonfinite(start, results);
      committer.offer(start, { ...results, arithmetic });
    } else if (outcome.kind === "fault") {
      this.#fault(runner, outcome.error);
    }
    if (this.#inFlight.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  /**
   * Makes the runner pause, and gives up when every runner keeps failing. A job that fails while its
   * runner is paused was in flight with the first and counts as the same fault.
   */
  #fault(runner: AttachedRunner, error: Error): void {
    const { config, dispatcher, log, onGiveUp } = this.#options;
    if (!this.#isRunning || this.#pauses.isPaused(runner)) return;
    const pause_ms = this.#pauses.begin(runner);
    const searching = dispatcher.runners.filter((each) => takes(each, config.seq_len));
    if (searching.every((each) => this.#pauses.keepsFailing(each))) {
      this.halt();
      this.#cancelAll();
      onGiveUp(error);
      return;
    }
    log.warn(
      { err: error, device: runner.info.device, pause_ms },
      "a search job failed, its nonces are tried again",
    );
  }

  #warnOfNonfinite(start: number, { nonfinite }: Results): void {
    const { sequence, log } = this.#options;
    if (nonfinite.length === 0) return;
    const nonces = nonfinite.slice(0, 8).map((place) => sequence.nonceAt(start + place));
    log.warn(
      { count: nonfinite.length, nonces },
      "results are not finite, their nonces are not valid",
    );
  }

  #cancelAll(): void {
    // Newest first, so that no job begins because the one before it was cut.
    for (const batch of [...this.#inFlight].reverse()) this.#options.dispatcher.cancel(batch.work);
  }

  #abandon(batch: Batch): void {
    this.#inFlight.delete(batch);
    this.#options.sequence.giveBack(batch.range);
    this.#options.log.warn(
      { first_nonce: this.#options.sequence.nonceAt(batch.range.start), count: batch.range.count },
      "the runner did not answer a cut in time, its result will be discarded",
    );
  }

  #emptied(): Promise<void> {
    if (this.#inFlight.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }
}
