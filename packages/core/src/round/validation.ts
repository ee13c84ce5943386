/** Proofs that wait to be recomputed, and the jobs that do it. */

import { inputSeed, permutationSeed, targetSeed } from "../proof/distance/seeds.ts";
import { type BatchSizer, preferredBatch } from "../runner/batch-sizer.ts";
import type { Dispatcher, Outcome, Work } from "../runner/dispatcher.ts";
import type { ModelInfo } from "../runner/ports.ts";
import { PocError, type PocErrorCode } from "../wire/errors.ts";
import type { ProofBatch } from "../wire/schemas.ts";
import type { IndexRange } from "./nonces.ts";

/** Proofs that may wait at once. */
const MAX_WAITING = 64;

/** What to recompute, and for whom; nothing of it changes when another round begins meanwhile. */
export interface Recomputation {
  /** At least one nonce. */
  proof: ProofBatch;
  seq_len: number;
  sizer: BatchSizer;
  /** Aborts when nobody waits for the answer any more: the proof is dropped, in the middle of a job. */
  signal?: AbortSignal | undefined;
}

interface Request extends Omit<Recomputation, "signal"> {
  /** [nonces] */
  readonly distances: Float32Array;
  /** Nonces that jobs have been made of, and those that are not computed yet. */
  given: number;
  left: number;
  /** Places in the proof that no job has, in order. */
  todo: IndexRange[];
  readonly inFlight: Set<Work>;
  resolve(distances: Float32Array): void;
  reject(error: PocError): void;
  /** Called when it is answered or refused. */
  leave(): void;
}

/**
 * Serves by turns the proof that has been given the least, so that a short one waits for no long
 * one, and the oldest, so that none waits for ever. Jobs are as large as the search's, but for the
 * smallest there are while several proofs wait.
 */
export class ValidationQueue {
  readonly #dispatcher: Dispatcher;
  readonly #maxNonces: number;
  /** In the order in which they came. */
  readonly #requests = new Set<Request>();
  #isOldestsTurn = false;
  #whenEmpty: (() => void)[] = [];

  /** @param options.maxNonces of all proofs together that are not computed yet */
  constructor(options: { dispatcher: Dispatcher; maxNonces: number }) {
    this.#dispatcher = options.dispatcher;
    this.#maxNonces = options.maxNonces;
  }

  /**
   * Recomputes a proof's distances: [nonces], NaN or infinite where the arithmetic failed.
   *
   * @throws PocError TOO_MANY_VALIDATIONS, TOO_MANY_QUEUED_NONCES, CALLER_GONE, COMPUTE_FAILED,
   *   RUNNER_LOST, SHUTTING_DOWN
   */
  async recompute({ signal, ...what }: Recomputation): Promise<Float32Array> {
    const count = what.proof.nonces.length;
    if (this.#requests.size >= MAX_WAITING) throw new PocError("TOO_MANY_VALIDATIONS");
    let waiting = 0;
    for (const { left } of this.#requests) waiting += left;
    if (waiting + count > this.#maxNonces) {
      const detail = `Too many nonces are waiting to be validated: ${waiting} and ${count} more, at most ${this.#maxNonces}`;
      throw new PocError("TOO_MANY_QUEUED_NONCES", { detail });
    }
    if (signal?.aborted) throw new PocError("CALLER_GONE");
    return new Promise((resolve, reject) => {
      const drop = () => this.#reject(request, new PocError("CALLER_GONE"));
      const request: Request = {
        ...what,
        distances: new Float32Array(count),
        given: 0,
        left: count,
        todo: [{ start: 0, count }],
        inFlight: new Set(),
        resolve,
        reject,
        leave: () => signal?.removeEventListener("abort", drop),
      };
      signal?.addEventListener("abort", drop);
      this.#requests.add(request);
      this.#dispatcher.wake();
    });
  }

  /** The next job, or null when there is none. */
  next(info: ModelInfo): Work | null {
    let next: Request | null = null;
    for (const request of this.#requests) {
      if (request.todo.length === 0) continue;
      if (!next || request.given < next.given) next = request;
      if (this.#isOldestsTurn) break;
    }
    const range = next?.todo.shift();
    if (!next || !range) return null;
    this.#isOldestsTurn = !this.#isOldestsTurn;
    const preferred = preferredBatch(info, next.seq_len);
    const most = this.#requests.size > 1 ? preferred : Number.POSITIVE_INFINITY;
    const count = Math.min(range.count, next.sizer.next(preferred), most);
    if (count < range.count) {
      next.todo.unshift({ start: range.start + count, count: range.count - count });
    }
    next.given += count;
    return this.#work(next, { start: range.start, count });
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

  #work(request: Request, range: IndexRange): Work {
    const { proof, seq_len } = request;
    const nonces = proof.nonces.slice(range.start, range.start + range.count);
    const work: Work = {
      job: {
        seq_len,
        input_seeds: Uint32Array.from(nonces, (nonce) => inputSeed(proof, nonce)),
        output: {
          kind: "distance",
          permutation_seeds: Uint32Array.from(nonces, (nonce) => permutationSeed(proof, nonce)),
          target_seed: targetSeed(proof.block_hash),
        },
      },
      settle: (outcome) => {
        request.inFlight.delete(work);
        if (this.#requests.has(request)) this.#settle(request, range, outcome);
      },
    };
    request.inFlight.add(work);
    return work;
  }

  #settle(request: Request, range: IndexRange, outcome: Outcome): void {
    if (outcome.kind !== "done") {
      const code = outcome.kind === "lost" ? "RUNNER_LOST" : "COMPUTE_FAILED";
      this.#reject(request, new PocError(code, { cause: outcome.error }));
      return;
    }
    const finished = outcome.values.length;
    if (finished === 0) {
      this.#reject(request, new PocError("COMPUTE_FAILED"));
      return;
    }
    request.distances.set(outcome.values, range.start);
    request.left -= finished;
    if (finished < range.count) {
      request.todo.unshift({ start: range.start + finished, count: range.count - finished });
    } else {
      request.sizer.observe(range.count, outcome.milliseconds);
    }
    if (request.todo.length > 0 || request.inFlight.size > 0) return;
    this.#remove(request);
    request.resolve(request.distances);
  }

  #reject(request: Request, error: PocError): void {
    this.#remove(request);
    for (const work of request.inFlight) this.#dispatcher.cancel(work);
    request.reject(error);
  }

  #remove(request: Request): void {
    this.#requests.delete(request);
    request.leave();
    if (this.#requests.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }
}
