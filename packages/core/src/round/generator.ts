/** The search of one round: turns its sequence into jobs and their results into progress. */

import { inputSeed, permutationSeed, targetSeed } from "../proof/distance/seeds.ts";
import { type BatchSizer, preferredBatch } from "../runner/batch-sizer.ts";
import type { Dispatcher, Outcome, Work } from "../runner/dispatcher.ts";
import type { ModelInfo } from "../runner/ports.ts";
import type { Logger } from "../util/log.ts";
import { within } from "../util/time.ts";
import type { InitRequest } from "../wire/schemas.ts";
import type { Committer } from "./committer.ts";
import type { IndexRange, NonceSequence } from "./nonces.ts";

/** Results that may wait to be stored before fresh nonces are held back. */
const MAX_BACKLOG = 8;
/** Pauses after one fault in a row, after two, …; one more fault and the round stops. Milliseconds. */
const FAULT_PAUSES_MS = [250, 500, 1000, 2000];
/** The store has what the runner leaves of its time to answer a cut, and so many milliseconds more. */
const STORE_GRACE_MS = 100;

export interface GeneratorOptions {
  config: InitRequest;
  sequence: NonceSequence;
  sizer: BatchSizer;
  committer: Committer;
  dispatcher: Dispatcher;
  log: Logger;
  /** The runner failed job after job: the search has stopped itself. */
  onGiveUp: (error: Error) => void;
}

/** A job of the search that the runner has not answered. */
interface Batch {
  readonly range: IndexRange;
  /** Of the runner that computes it. */
  readonly arithmetic: string;
  readonly work: Work;
}

export class Generator {
  readonly #options: GeneratorOptions;
  readonly #targetSeed: number;
  readonly #inFlight = new Set<Batch>();
  #isRunning = false;
  #faults = 0;
  #pause: NodeJS.Timeout | null = null;
  #whenEmpty: (() => void)[] = [];

  constructor(options: GeneratorOptions) {
    this.#options = options;
    this.#targetSeed = targetSeed(options.config.block_hash);
  }

  /** Searches on from where the sequence stands. Idempotent. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#faults = 0;
    this.#options.committer.resume();
    this.#options.dispatcher.wake();
  }

  /** Begins no more jobs; those in flight go on. */
  halt(): void {
    this.#isRunning = false;
    if (this.#pause) clearTimeout(this.#pause);
    this.#pause = null;
  }

  /**
   * Halts, and cuts what is in flight. What the runner finished is counted; the rest goes back to
   * the front of the sequence (docs/protocol.md §2, note 2).
   *
   * @param graceMs how long the runner may take to answer; later results are discarded
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

  /** The next job, or null when there is none now. */
  next(info: ModelInfo): Work | null {
    const { sequence, sizer, committer, config } = this.#options;
    if (!this.#isRunning || this.#pause) return null;
    // What was given back may be the gap that everything else waits for: it is never held back.
    if (committer.backlog >= MAX_BACKLOG && !sequence.hasReturned) return null;
    const range = sequence.take(sizer.next(preferredBatch(info, config.seq_len)));
    if (!range) return null;
    const nonces = Array.from({ length: range.count }, (_, i) => sequence.nonceAt(range.start + i));
    const batch: Batch = {
      range,
      arithmetic: info.arithmetic,
      work: {
        job: {
          seq_len: config.seq_len,
          input_seeds: Uint32Array.from(nonces, (nonce) => inputSeed(config, nonce)),
          output: {
            kind: "distance",
            permutation_seeds: Uint32Array.from(nonces, (nonce) => permutationSeed(config, nonce)),
            target_seed: this.#targetSeed,
          },
        },
        settle: (outcome) => this.#settle(batch, outcome),
      },
    };
    this.#inFlight.add(batch);
    return batch.work;
  }

  #settle(batch: Batch, outcome: Outcome): void {
    if (!this.#inFlight.delete(batch)) return; // abandoned: its nonces have been given back
    const { sequence, committer, sizer } = this.#options;
    const { start, count } = batch.range;
    const finished = outcome.kind === "done" ? outcome.values.length : 0;
    sequence.giveBack({ start: start + finished, count: count - finished });
    if (outcome.kind === "done") {
      if (finished === count) sizer.observe(count, outcome.milliseconds);
      if (finished > 0) this.#faults = 0;
      else if (this.#isRunning)
        this.#fault(new Error("the runner finished none of a job's nonces"));
      this.#warnOfNonfinite(start, outcome.values);
      committer.offer(start, { distances: outcome.values, arithmetic: batch.arithmetic });
    } else if (outcome.kind === "fault") {
      this.#fault(outcome.error);
    }
    if (this.#inFlight.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  /** Pauses, longer each time; at last gives up. Faults of one pause count as one. */
  #fault(error: Error): void {
    const { log, onGiveUp, dispatcher } = this.#options;
    if (!this.#isRunning || this.#pause) return;
    const pauseMs = FAULT_PAUSES_MS[this.#faults++];
    if (pauseMs === undefined) {
      this.halt();
      this.#cancelAll();
      onGiveUp(error);
      return;
    }
    log.warn({ err: error, pause_ms: pauseMs }, "a search job failed, its nonces are tried again");
    this.#pause = setTimeout(() => {
      this.#pause = null;
      dispatcher.wake();
    }, pauseMs);
  }

  #warnOfNonfinite(start: number, distances: Float32Array): void {
    const { sequence, log } = this.#options;
    const nonces: number[] = [];
    for (const [i, distance] of distances.entries()) {
      if (!Number.isFinite(distance)) nonces.push(sequence.nonceAt(start + i));
    }
    if (nonces.length === 0) return;
    log.warn(
      { count: nonces.length, nonces: nonces.slice(0, 8) },
      "distances are not finite, their nonces are not valid",
    );
  }

  #cancelAll(): void {
    // Newest first: the one behind must not begin when the one before it is cut.
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
