/** Proofs that wait to be recomputed, and the jobs that do it. */
import type { BatchSizer } from "./batch.ts";
import type { Dispatcher, Outcome, Work } from "./dispatcher.ts";
import { PocError, type PocErrorCode } from "./errors.ts";
import type { IndexRange } from "./nonce.ts";
import type { ModelInfo } from "./runner.ts";
import type { ProofBatch } from "./schemas.ts";
import { inputSeed, permutationSeed, targetSeed } from "./seed.ts";

/** Proofs that may wait at once. */
const MAX_WAITING = 64;

/** What to recompute; nothing of it changes when another round begins meanwhile. */
export interface Recomputation {
  /** At least one nonce. */
  proof: ProofBatch;
  seq_len: number;
  sizer: BatchSizer;
}

interface Request extends Recomputation {
  /** [nonces] */
  readonly distances: Float32Array;
  /** Places in the proof that no job has, in order. */
  todo: IndexRange[];
  readonly inFlight: Set<Work>;
  resolve(distances: Float32Array): void;
  reject(error: PocError): void;
}

/** Serves proofs in the order in which they came, in jobs of the same size as the search's. */
export class ValidationQueue {
  readonly #dispatcher: Dispatcher;
  readonly #requests = new Set<Request>();
  #whenEmpty: (() => void)[] = [];

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  /**
   * Recomputes a proof's distances: [nonces], NaN or infinite where the arithmetic failed.
   *
   * @throws PocError TOO_MANY_VALIDATIONS, COMPUTE_FAILED, RUNNER_LOST, SHUTTING_DOWN
   */
  recompute(what: Recomputation): Promise<Float32Array> {
    if (this.#requests.size >= MAX_WAITING) throw new PocError("TOO_MANY_VALIDATIONS");
    const count = what.proof.nonces.length;
    return new Promise((resolve, reject) => {
      this.#requests.add({
        ...what,
        distances: new Float32Array(count),
        todo: [{ start: 0, count }],
        inFlight: new Set(),
        resolve,
        reject,
      });
      this.#dispatcher.wake();
    });
  }

  /** The next job, or null when there is none. */
  next(info: ModelInfo): Work | null {
    for (const request of this.#requests) {
      const range = request.todo.shift();
      if (!range) continue;
      const count = Math.min(range.count, request.sizer.next(info.preferred_batch));
      if (count < range.count) {
        request.todo.unshift({ start: range.start + count, count: range.count - count });
      }
      return this.#work(request, { start: range.start, count });
    }
    return null;
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
    if (this.#requests.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }
}
