/** Jobs that compute given nonces again, beside rounds (docs/protocol-v2.md §3.3 and §3.4). */
import type { ProofScheme, RoundConfig } from "../proof/scheme.ts";
import { BatchSizers } from "../runner/batch-sizer.ts";
import type { Logger } from "../util/log.ts";
import { Patience } from "../util/patience.ts";
import { PocError } from "../wire/errors.ts";
import type { ValidationQueue } from "./validation.ts";

/** Nonces that are computed in one go; between two goes a search that has begun holds the job. */
const SLICE = 4096;
/** A job in which nothing was computed for so long has failed, milliseconds. */
const PATIENCE_MS = 60_000;
/** Results can be asked for so long, and no longer than as many are kept. */
const KEPT_MS = 300_000;
const MAX_KEPT_NONCES = 1_000_000;
/** Nonces and jobs that wait; as many nonces may be waited for besides. */
const MAX_QUEUED_NONCES = 100_000;
const MAX_QUEUED_JOBS = 10_000;
/** Callers that wait for a job each. */
const MAX_CALLERS = 64;

export interface JobWork<Result> {
  readonly scheme: ProofScheme;
  readonly config: RoundConfig;
  readonly nonces: readonly number[];
  /**
   * Takes what some of the nonces have yielded, each slice once and in their order.
   *
   * @param nonces a few thousand at most, at least one
   * @param values [nonces, width of the scheme]
   */
  take(nonces: readonly number[], values: Float32Array): void;
  /**
   * What all that was taken comes to.
   *
   * @throws PocError where it comes to nothing
   */
  conclude(): Result;
}

/** How a job stands. */
export type JobState<Result> =
  | { readonly status: "queued" | "running" }
  | { readonly status: "cancelled" }
  | { readonly status: "completed"; readonly result: Result }
  | { readonly status: "failed"; readonly error: string };

interface Job<Result> {
  readonly id: string;
  readonly work: JobWork<Result>;
  /** Called when it has ended, before that can be asked for, with the result; null where there is none. */
  readonly end: (result: Result | null) => Promise<void>;
  readonly cut: AbortController;
  state: JobState<Result>;
  /** Monotonic milliseconds, once it has ended. */
  ended: number;
}

/** How a job is computed. */
interface Terms {
  /** Aborts with what it is cut for. */
  readonly signal: AbortSignal;
  /** As `Recomputation.isPromised`. */
  readonly isPromised: boolean;
}

export type EndedState<Result> = Exclude<JobState<Result>, { status: "queued" | "running" }>;

interface JobsOptions<Result> {
  validations: Pick<ValidationQueue, "recompute">;
  /** Whether a search is at work, which jobs wait for. */
  isHeld: () => boolean;
  /** Told how each has ended, also those that a caller waited for. */
  onEnded: (state: EndedState<Result>) => void;
  now: () => number;
  log: Logger;
}

/**
 * Queued jobs are computed one after another, in the order in which they came. Those that a caller
 * waits for are computed beside them, since he does not wait for long.
 */
export class Jobs<Result extends object> {
  readonly #options: JobsOptions<Result>;
  /** By id, in the order in which they came: queued, at work, and ended not long ago. */
  readonly #jobs = new Map<string, Job<Result>>();
  readonly #queue: Job<Result>[] = [];
  /** Nonces of the queue. */
  #queuedNonces = 0;
  /** Of those that have ended; counted, since there may be thousands whenever one comes. */
  readonly #ended = { jobs: 0, nonces: 0 };
  /** Of the callers that wait, and how many nonces each waits for. */
  readonly #callers = new Map<AbortController, number>();
  readonly #whenFree = new Set<() => void>();
  #isWorking = false;

  constructor(options: JobsOptions<Result>) {
    this.#options = options;
  }

  /**
   * Queues a job.
   *
   * @throws PocError QUEUE_FULL
   */
  enqueue(job: Pick<Job<Result>, "id" | "end"> & { readonly work: JobWork<Result> }): void {
    this.#forgetOld();
    const queued = this.#queuedNonces;
    if (this.#queue.length >= MAX_QUEUED_JOBS) {
      const detail = `Queue full: ${this.#queue.length} jobs queued, limit is ${MAX_QUEUED_JOBS}`;
      throw new PocError("QUEUE_FULL", { detail });
    }
    if (queued + job.work.nonces.length > MAX_QUEUED_NONCES) {
      const detail = `Queue full: ${queued} nonces queued, limit is ${MAX_QUEUED_NONCES}`;
      throw new PocError("QUEUE_FULL", { detail });
    }
    const entry = { ...job, cut: new AbortController(), state: { status: "queued" }, ended: 0 };
    this.#jobs.set(job.id, entry as Job<Result>);
    this.#queue.push(entry as Job<Result>);
    this.#queuedNonces += job.work.nonces.length;
    void this.#work();
  }

  /**
   * Computes a job that a caller waits for.
   *
   * @param caller aborts when nobody waits any more
   * @throws PocError TOO_MANY_VALIDATIONS, JOB_CANCELLED, JOB_TIMED_OUT, CALLER_GONE; as
   *   `ValidationQueue.recompute` and `conclude`
   */
  async run(work: JobWork<Result>, caller: AbortSignal | undefined): Promise<Result> {
    let nonces = work.nonces.length;
    for (const others of this.#callers.values()) nonces += others;
    if (this.#callers.size >= MAX_CALLERS || nonces > MAX_QUEUED_NONCES) {
      throw new PocError("TOO_MANY_VALIDATIONS");
    }
    const cut = new AbortController();
    const gone = () => cut.abort(new PocError("CALLER_GONE"));
    if (caller?.aborted) gone();
    caller?.addEventListener("abort", gone);
    this.#callers.set(cut, work.nonces.length);
    try {
      const result = await this.#compute(work, { signal: cut.signal, isPromised: false });
      this.#options.onEnded({ status: "completed", result });
      return result;
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown.message : String(thrown);
      this.#options.onEnded(
        cut.signal.aborted ? { status: "cancelled" } : { status: "failed", error },
      );
      throw thrown;
    } finally {
      caller?.removeEventListener("abort", gone);
      this.#callers.delete(cut);
    }
  }

  /** How a queued job stands; null where there is none of that id, or none any more. */
  find(id: string): JobState<Result> | null {
    this.#forgetOld();
    return this.#jobs.get(id)?.state ?? null;
  }

  /** The last jobs that wait, are at work or ended not long ago, in the order in which they came. */
  list(most: number): { id: string; count: number; state: JobState<Result> }[] {
    this.#forgetOld();
    const last = [...this.#jobs.values()].slice(-most);
    return last.map(({ id, work, state }) => ({ id, count: work.nonces.length, state }));
  }

  /** Queued jobs that wait or are at work. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Of all jobs that wait or are at work. */
  get waitingNonces(): number {
    return this.#queuedNonces;
  }

  /** A search may have ended: what it held goes on. */
  review(): void {
    if (this.#options.isHeld()) return;
    for (const resolve of this.#whenFree) resolve();
    this.#whenFree.clear();
  }

  /** Ends a queued job. */
  cancel(id: string): void {
    this.#jobs.get(id)?.cut.abort(new PocError("JOB_CANCELLED"));
  }

  /**
   * Ends all that wait or are at work, and forgets the results that could be asked for.
   *
   * @param reason what those who wait are refused with
   */
  cancelAll(reason: PocError): void {
    for (const job of this.#jobs.values()) {
      if (job.state.status === "completed" || job.state.status === "failed") this.#forget(job);
    }
    for (const { cut } of this.#jobs.values()) cut.abort(reason);
    for (const cut of this.#callers.keys()) cut.abort(reason);
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    for (let job = this.#queue[0]; job; job = this.#queue[0]) {
      const state = await this.#outcome(job);
      await job.end(state.status === "completed" ? state.result : null);
      this.#options.onEnded(state);
      job.state = state;
      job.ended = this.#options.now();
      this.#queue.shift();
      const { length } = job.work.nonces;
      this.#queuedNonces -= length;
      this.#ended.jobs++;
      this.#ended.nonces += length;
    }
    this.#isWorking = false;
  }

  async #outcome(job: Job<Result>): Promise<EndedState<Result>> {
    const { signal } = job.cut;
    try {
      await this.#free(signal);
      job.state = { status: "running" };
      // One at a time, and its caller counts on it: what callers wait for beside it does not refuse it.
      const result = await this.#compute(job.work, { signal, isPromised: true });
      return { status: "completed", result };
    } catch (thrown) {
      if (signal.aborted) return { status: "cancelled" };
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.#options.log.warn({ err: error, request_id: job.id }, "a job failed");
      return { status: "failed", error: error.message };
    }
  }

  async #compute(work: JobWork<Result>, how: Terms): Promise<Result> {
    const { scheme, config, nonces } = work;
    const sizers = new BatchSizers(config);
    for (let start = 0; start < nonces.length; start += SLICE) {
      await this.#free(how.signal);
      const slice = nonces.slice(start, start + SLICE);
      work.take(slice, await this.#recompute({ scheme, config, nonces: slice, sizers }, how));
    }
    return work.conclude();
  }

  async #recompute(
    what: Pick<JobWork<Result>, "scheme" | "config" | "nonces"> & { sizers: BatchSizers },
    { signal, isPromised }: Terms,
  ): Promise<Float32Array> {
    const silence = new AbortController();
    const patience = new Patience(PATIENCE_MS, () => silence.abort());
    try {
      const { values } = await this.#options.validations.recompute({
        ...what,
        isPromised,
        signal: AbortSignal.any([signal, silence.signal]),
        onResults: () => patience.renew(),
      });
      return values;
    } catch (error) {
      signal.throwIfAborted(); // with what it was cut for
      if (!silence.signal.aborted) throw error;
      const detail = `Timeout after ${(PATIENCE_MS / 1000).toFixed(1)}s`;
      throw new PocError("JOB_TIMED_OUT", { detail });
    } finally {
      patience.stop();
    }
  }

  /** Resolves when no search is at work; rejects with what the job is cut for. */
  async #free(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#options.isHeld()) return;
    await new Promise<void>((resolve, reject) => {
      const free = () => {
        signal.removeEventListener("abort", cut);
        resolve();
      };
      const cut = () => {
        this.#whenFree.delete(free);
        reject(signal.reason);
      };
      signal.addEventListener("abort", cut, { once: true });
      this.#whenFree.add(free);
    });
    await this.#free(signal); // another search may have begun in the same turn
  }

  #forgetOld(): void {
    const oldest = this.#options.now() - KEPT_MS;
    // They end in the order in which they came.
    for (const job of this.#jobs.values()) {
      const isTooMuch = this.#ended.nonces > MAX_KEPT_NONCES || this.#ended.jobs > MAX_QUEUED_JOBS;
      if (job.ended === 0 || (job.ended > oldest && !isTooMuch)) break;
      this.#forget(job);
    }
  }

  /** One that has ended. */
  #forget(job: Job<Result>): void {
    this.#jobs.delete(job.id);
    this.#ended.jobs--;
    this.#ended.nonces -= job.work.nonces.length;
  }
}
