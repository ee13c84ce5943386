/** The search of one round: turns its sequence into jobs and their results into progress. */

import { type ProofScheme, type Results, type RoundConfig, readRows } from "../proof/scheme.ts";
import type { BatchSizers } from "../runner/batch-sizer.ts";
import { type AttachedRunner, type Outcome, takes, type Work } from "../runner/dispatcher.ts";
import type { Logger } from "../util/log.ts";
import { within } from "../util/time.ts";
import type { Committer } from "./committer.ts";
import { FaultPauses } from "./fault-pauses.ts";
import type { IndexRange, NonceSequence } from "./nonces.ts";
import type { Runners } from "./runners.ts";

/**
 * Results that may wait to be stored, for each runner, before fresh nonces are held back. They also
 * wait for the oldest job, and every other runner may finish several while that is computed.
 */
const MAX_BACKLOG = 8;
/** After a cut the store has the time that the runners left, and so many milliseconds more. */
const STORE_GRACE_MS = 100;
/** A batch that takes so many times as long as usual is late. */
const LATE = 5;
/** Milliseconds in which no batch is late, however short the usual ones are. */
const NEVER_LATE_MS = 1000;

interface GeneratorOptions {
  scheme: ProofScheme;
  config: RoundConfig;
  sequence: NonceSequence;
  sizers: BatchSizers;
  committer: Committer;
  runners: Runners;
  log: Logger;
  /** Every runner failed job after job: the search has stopped itself. */
  onGiveUp: (error: Error) => void;
}

/** Nonces that have been given out and are not computed yet. */
interface Batch {
  readonly range: IndexRange;
  /** Who is at it: one runner, and others beside it once that is late. */
  readonly attempts: Set<Attempt>;
}

/** A job of the search that its runner has not answered. */
interface Attempt {
  readonly runner: AttachedRunner;
  readonly work: Work;
}

export class Generator {
  readonly #options: GeneratorOptions;
  readonly #inFlight = new Set<Batch>();
  readonly #pauses: FaultPauses;
  #isRunning = false;
  /** Wakes the runners when a batch will be late. */
  #alarm: NodeJS.Timeout | null = null;
  #whenEmpty: (() => void)[] = [];

  constructor(options: GeneratorOptions) {
    this.#options = options;
    this.#pauses = new FaultPauses(() => options.runners.dispatcher.wake());
  }

  /** Searches on from where the sequence stands. Idempotent. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#options.committer.resume();
    this.#options.runners.dispatcher.wake();
  }

  /** Gives out no more jobs; those in flight go on. */
  halt(): void {
    this.#isRunning = false;
    this.#pauses.clear();
    this.#setAlarm(null);
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
    const { sequence, sizers, committer, config, runners } = this.#options;
    if (!this.#isRunning || this.#pauses.isPaused(runner)) return null;
    if (!takes(runner, config.seq_len)) return null;
    const isFull = committer.backlog >= MAX_BACKLOG * runners.dispatcher.runners.length;
    const late = this.#lateBatch(runner, isFull);
    if (late) return this.#attempt(late, runner);
    // Nonces that were given back are never held back: the results may be waiting for just these.
    if (isFull && !sequence.hasReturned) return null;
    const range = sequence.take(sizers.of(runner).next());
    if (!range) return null;
    const batch: Batch = { range, attempts: new Set() };
    this.#inFlight.add(batch);
    return this.#attempt(batch, runner);
  }

  #attempt(batch: Batch, runner: AttachedRunner): Work {
    const { scheme, config, sequence } = this.#options;
    const { start, count } = batch.range;
    const nonces = Array.from({ length: count }, (_, i) => sequence.nonceAt(start + i));
    const attempt: Attempt = {
      runner,
      work: {
        job: scheme.job(config, nonces, runner.info),
        width: scheme.width(config),
        settle: (outcome) => this.#settle(batch, attempt, outcome),
      },
    };
    batch.attempts.add(attempt);
    return attempt.work;
  }

  /**
   * The oldest batch, for which the count waits, where this runner should compute it too: whoever is at
   * it takes many times as long as it usually does or, once fresh nonces are held back, as this runner
   * would.
   */
  #lateBatch(runner: AttachedRunner, isFull: boolean): Batch | null {
    const { sizers, runners, sequence, log } = this.#options;
    let oldest: Batch | null = null;
    for (const batch of this.#inFlight) {
      if (!oldest || batch.range.start < oldest.range.start) oldest = batch;
    }
    if (!oldest) return null;
    const { start, count } = oldest.range;
    let left = 0;
    for (const attempt of oldest.attempts) {
      if (attempt.runner === runner) return null;
      const usual = sizers.of(isFull ? runner : attempt.runner).expected(count);
      if (usual === null) return null;
      const age = runners.dispatcher.ageOf(attempt.work) ?? 0;
      left = Math.max(left, Math.max(LATE * usual, NEVER_LATE_MS) - age);
    }
    if (left > 0) {
      // Others are asked again with every result; who has nothing to do is not.
      if (isFull) this.#setAlarm(left);
      return null;
    }
    log.warn(
      { first_nonce: sequence.nonceAt(start), count, device: runner.info.device },
      "a batch is late, another runner computes it too",
    );
    return oldest;
  }

  /** @param milliseconds null: no alarm */
  #setAlarm(milliseconds: number | null): void {
    if (this.#alarm) clearTimeout(this.#alarm);
    this.#alarm = null;
    if (milliseconds === null) return;
    const { dispatcher } = this.#options.runners;
    this.#alarm = setTimeout(() => dispatcher.wake(), Math.ceil(milliseconds));
  }

  #settle(batch: Batch, attempt: Attempt, outcome: Outcome): void {
    batch.attempts.delete(attempt);
    if (!this.#inFlight.has(batch)) return; // abandoned, or another runner was first
    const { runner } = attempt;
    const finished = outcome.kind === "done" ? outcome.completed : 0;
    // Whoever else is at it goes on when this one got nothing done.
    if (finished > 0 || batch.attempts.size === 0) this.#conclude(batch, runner, outcome);
    if (finished > 0) this.#pauses.recover(runner);
    else if (outcome.kind === "fault") this.#fault(runner, outcome.error);
    else if (outcome.kind === "done") {
      this.#fault(runner, new Error("the runner finished none of a job's nonces"));
    }
    if (this.#inFlight.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  /** Takes what was finished of a batch, and gives back the rest. */
  #conclude(batch: Batch, runner: AttachedRunner, outcome: Outcome): void {
    const { scheme, config, sequence, committer, sizers, runners } = this.#options;
    const { start, count } = batch.range;
    const finished = outcome.kind === "done" ? outcome.completed : 0;
    this.#inFlight.delete(batch);
    sequence.giveBack({ start: start + finished, count: count - finished });
    for (const { runner: slower, work } of batch.attempts) {
      sizers.of(slower).observe(count, runners.dispatcher.ageOf(work) ?? 0);
      runners.dispatcher.cancel(work);
    }
    if (outcome.kind !== "done") return;
    const { values, arithmetic, milliseconds } = outcome;
    if (finished === count) sizers.of(runner).observe(count, milliseconds);
    const results = readRows(scheme, config, values);
    this.#warnOfNonfinite(start, results);
    committer.offer(start, { ...results, arithmetic });
  }

  /**
   * Makes the runner pause, and gives up when every runner keeps failing and none comes again. A job
   * that fails while its runner is paused was in flight with the first and counts as the same fault.
   */
  #fault(runner: AttachedRunner, error: Error): void {
    const { config, runners, log, onGiveUp } = this.#options;
    if (!this.#isRunning || this.#pauses.isPaused(runner)) return;
    const pause_ms = this.#pauses.begin(runner);
    const searching = runners.dispatcher.runners.filter((each) => takes(each, config.seq_len));
    const keepFailing = searching.every((each) => this.#pauses.keepsFailing(each));
    if (keepFailing && !runners.awaits(config.seq_len)) {
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
    for (const { attempts } of [...this.#inFlight].reverse()) {
      for (const { work } of attempts) this.#options.runners.dispatcher.cancel(work);
    }
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
