/** Proofs that wait to be recomputed, and the jobs that do it. */

import type { ProofScheme, Recomputed, RoundConfig } from "../proof/scheme.ts";
import type { BatchSizers } from "../runner/batch-sizer.ts";
import {
  type AttachedRunner,
  type Dispatcher,
  type Outcome,
  takes,
  type Work,
} from "../runner/dispatcher.ts";
import { Patience } from "../util/patience.ts";
import { PocError, type PocErrorCode } from "../wire/errors.ts";
import type { IndexRange } from "./nonces.ts";

/** Proofs that may wait at once. */
const MAX_WAITING = 64;
/** A proof waits so long for a runner that is started again. */
const RUNNER_PATIENCE_MS = 30_000;

/** What to recompute, and for whom; nothing of it changes when another round begins meanwhile. */
export interface Recomputation {
  scheme: ProofScheme;
  /** That of the round, with the prover's key. */
  config: RoundConfig;
  /** At least one. */
  nonces: readonly number[];
  sizers: BatchSizers;
  /** Aborts when nobody waits for the answer any more: the proof is dropped and its jobs are cut. */
  signal?: AbortSignal | undefined;
  /** Called when some of its nonces have been computed. */
  onResults?: () => void;
  /** Whether whoever asks lets no more than a few of these wait: then nothing that waits beside refuses it. */
  isPromised?: boolean;
}

interface Request extends Omit<Recomputation, "signal"> {
  /** Floats of a nonce. */
  readonly width: number;
  /** [nonces, width] */
  readonly values: Float32Array;
  /** The tag of the runner that got its first job, null before. Only runners with that tag get more. */
  arithmetic: string | null;
  /** Nonces that jobs have been made of, and those that are not computed yet. */
  given: number;
  left: number;
  /** Places in the proof that no job has. */
  todo: IndexRange[];
  readonly inFlight: Set<Work>;
  /** Runs while no runner is there that computes its length. */
  patience: Patience | null;
  resolve(recomputed: Recomputed): void;
  reject(error: PocError): void;
  /** Called when it is answered or refused. */
  leave(): void;
}

/**
 * Every other job is for the proof of which the fewest nonces were given out, so that a short proof
 * need not wait for a long one; the jobs between are for the oldest, so that none waits for ever.
 * Jobs are as large as the search's, and as small as possible while several proofs wait.
 */
export class ValidationQueue {
  readonly #dispatcher: Dispatcher;
  readonly #isExpected: (seqLen: number) => boolean;
  readonly #maxNonces: number;
  /** In the order in which they came. */
  readonly #requests = new Set<Request>();
  #isOldestsTurn = false;
  #isClosing = false;
  #whenEmpty: (() => void)[] = [];

  /**
   * @param options.isExpected whether a runner that computes this length is there or comes again
   * @param options.maxNonces of all proofs together that are not computed yet
   */
  constructor(options: {
    dispatcher: Dispatcher;
    isExpected: (seqLen: number) => boolean;
    maxNonces: number;
  }) {
    this.#dispatcher = options.dispatcher;
    this.#isExpected = options.isExpected;
    this.#maxNonces = options.maxNonces;
  }

  /**
   * Computes a proof's nonces again, all of them under one arithmetic.
   *
   * @throws PocError TOO_MANY_VALIDATIONS, TOO_MANY_QUEUED_NONCES, CALLER_GONE, COMPUTE_FAILED,
   *   MODEL_LOADING when no runner comes in time, RUNNER_LOST, SHUTTING_DOWN
   */
  async recompute({ signal, ...what }: Recomputation): Promise<Recomputed> {
    const count = what.nonces.length;
    const width = what.scheme.width(what.config);
    if (!what.isPromised) this.#refuseTooMany(count);
    if (signal?.aborted) throw new PocError("CALLER_GONE");
    return new Promise((resolve, reject) => {
      const drop = () => this.#reject(request, new PocError("CALLER_GONE"));
      const request: Request = {
        ...what,
        width,
        values: new Float32Array(count * width),
        arithmetic: null,
        given: 0,
        left: count,
        todo: [{ start: 0, count }],
        inFlight: new Set(),
        patience: null,
        resolve,
        reject,
        leave: () => signal?.removeEventListener("abort", drop),
      };
      signal?.addEventListener("abort", drop);
      this.#requests.add(request);
      this.#review(request);
      this.#dispatcher.wake();
    });
  }

  #refuseTooMany(count: number): void {
    if (this.#requests.size >= MAX_WAITING) throw new PocError("TOO_MANY_VALIDATIONS");
    let waiting = 0;
    for (const { left } of this.#requests) waiting += left;
    if (waiting + count <= this.#maxNonces) return;
    const detail = `Too many nonces are waiting to be validated: ${waiting} and ${count} more, at most ${this.#maxNonces}`;
    throw new PocError("TOO_MANY_QUEUED_NONCES", { detail });
  }

  /** The next job for this runner, or null when there is none. */
  next(runner: AttachedRunner): Work | null {
    let next: Request | null = null;
    for (const request of this.#requests) {
      if (request.todo.length === 0 || !mayServe(runner, request)) continue;
      if (!next || request.given < next.given) next = request;
      if (this.#isOldestsTurn) break;
    }
    const range = next?.todo.shift();
    if (!next || !range) return null;
    this.#isOldestsTurn = !this.#isOldestsTurn;
    const sizer = next.sizers.of(runner);
    const most = this.#requests.size > 1 ? sizer.preferred : Number.POSITIVE_INFINITY;
    const count = Math.min(range.count, sizer.next(), most);
    if (count < range.count) {
      next.todo.unshift({ start: range.start + count, count: range.count - count });
    }
    next.given += count;
    next.arithmetic ??= runner.info.arithmetic;
    return this.#work(next, { start: range.start, count }, runner);
  }

  /**
   * Runners have come or gone, and the jobs of those that are gone have been settled. Proofs that no
   * other can go on with are begun anew by one of another arithmetic; where none computes their length
   * they wait a while for one that is started again, and are refused where none is.
   */
  onRunnersChange(reason?: Error): void {
    for (const request of this.#requests) this.#review(request, reason);
  }

  #review(request: Request, reason?: Error): void {
    const able = this.#dispatcher.runners.filter((runner) => takes(runner, request.config.seq_len));
    if (able.length > 0) {
      request.patience?.stop();
      request.patience = null;
      if (!able.some((runner) => mayServe(runner, request))) beginAnew(request);
    } else if (this.#isClosing) {
      this.#reject(request, new PocError("SHUTTING_DOWN"));
    } else if (this.#isExpected(request.config.seq_len)) {
      const refuse = () => this.#reject(request, new PocError("MODEL_LOADING"));
      request.patience ??= new Patience(RUNNER_PATIENCE_MS, refuse);
    } else {
      this.#reject(request, new PocError("RUNNER_LOST", { cause: reason }));
    }
  }

  /** From now on no proof waits for a runner that is started again: what no runner computes is refused. */
  close(): void {
    this.#isClosing = true;
    this.onRunnersChange();
  }

  /** Refuses everything that waits or is at work. */
  rejectAll(code: PocErrorCode, cause?: unknown): void {
    for (const request of this.#requests) this.#reject(request, new PocError(code, { cause }));
  }

  /** Resolves when no proof waits. */
  idle(): Promise<void> {
    if (this.#requests.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  #work(request: Request, range: IndexRange, runner: AttachedRunner): Work {
    const { scheme, config, width } = request;
    const nonces = request.nonces.slice(range.start, range.start + range.count);
    const work: Work = {
      job: scheme.job(config, nonces, runner.info),
      width,
      settle: (outcome) => {
        request.inFlight.delete(work);
        if (this.#requests.has(request)) this.#settle(request, { range, runner, outcome });
      },
    };
    request.inFlight.add(work);
    return work;
  }

  #settle(
    request: Request,
    { range, runner, outcome }: { range: IndexRange; runner: AttachedRunner; outcome: Outcome },
  ): void {
    if (outcome.kind === "lost") {
      request.given -= range.count;
      request.todo.unshift(range); // `onRunnersChange`, which follows, decides who computes it
      return;
    }
    if (outcome.kind === "fault") {
      this.#reject(request, new PocError("COMPUTE_FAILED", { cause: outcome.error }));
      return;
    }
    const finished = outcome.completed;
    if (finished === 0) {
      this.#reject(request, new PocError("COMPUTE_FAILED"));
      return;
    }
    request.values.set(outcome.values, range.start * request.width);
    request.left -= finished;
    request.onResults?.();
    if (finished < range.count) {
      request.todo.unshift({ start: range.start + finished, count: range.count - finished });
    } else {
      request.sizers.of(runner).observe(range.count, outcome.milliseconds);
    }
    if (request.todo.length > 0 || request.inFlight.size > 0) return;
    this.#remove(request);
    request.resolve({ values: request.values, arithmetic: outcome.arithmetic });
  }

  #reject(request: Request, error: PocError): void {
    this.#remove(request);
    for (const work of request.inFlight) this.#dispatcher.cancel(work);
    request.reject(error);
  }

  #remove(request: Request): void {
    this.#requests.delete(request);
    request.patience?.stop();
    request.leave();
    if (this.#requests.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }
}

/** Whether this runner may compute a part of this proof, which has only one arithmetic. */
function mayServe(runner: AttachedRunner, { config, arithmetic }: Request): boolean {
  const own = runner.info.arithmetic;
  return takes(runner, config.seq_len) && (arithmetic ?? own) === own;
}

/** None of its jobs may be in flight: here the runners that had them are gone. */
function beginAnew(request: Request): void {
  const { length } = request.nonces;
  request.arithmetic = null;
  request.given = 0;
  request.left = length;
  request.todo = [{ start: 0, count: length }];
}
