/** A runner for tests: its distances follow from the seeds alone, and it fails when it is told to. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { FakeSessions } from "./fake-sessions.ts";
import type { ModelInfo, ModelRunner, PrefillJob, PrefillOutput, PrefillResult } from "./ports.ts";
import { batchOf, RunnerLost } from "./ports.ts";
import type {
  SessionEnd,
  SessionLimits,
  SessionRunner,
  SessionStats,
  SessionToken,
  TokenSession,
} from "./sessions.ts";

export interface FakeRunnerOptions {
  info?: Partial<ModelInfo>;
  /** Distance of one nonce; by default `fakeDistance`, uniform in [0, 2). */
  distance?: (seeds: NonceSeeds) => number;
  /** Artifact of one nonce, [k]; by default `fakeVector`. */
  vector?: (pickSeed: number, k: number) => Float32Array;
}

/** What a nonce's distance follows from. */
export interface NonceSeeds {
  input_seed: number;
  permutation_seed: number;
  target_seed: number;
  seq_len: number;
}

/**
 * A runner without a model. Jobs are answered in their order, each in a turn of the event loop of
 * its own, unless they are held.
 *
 * @example
 * const runner = createFakeRunner();
 * runner.hold();                       // jobs wait …
 * const job = await runner.started(0); // … the first has come
 * runner.release(job.id);              // … and is answered now
 */
export interface FakeRunner extends ModelRunner, SessionRunner {
  /** Every job so far, in the order in which they came. */
  readonly jobs: readonly PrefillJob[];
  /** Ids of the jobs that are not answered yet, oldest first. */
  readonly waiting: readonly number[];
  /** Ids that were cancelled. */
  readonly cancelled: readonly number[];
  /** Resolves when the job with this number (0 is the first) has come. */
  started(number: number): Promise<PrefillJob>;
  /** From now on jobs wait until they are released. */
  hold(): void;
  /** Answers one held job, in any order; without an id all of them, and holds no more. */
  release(id?: number): void;
  /** How a cancel is answered from now on: with so many finished nonces (0 at first), or not at all. */
  onCancel(answer: { completed: number } | "ignore"): void;
  /** The next `times` jobs reject with this error. */
  fail(error: Error, times?: number): void;
  /** The runner is gone: every job rejects with RunnerLost, now and later. */
  lose(reason?: string): void;
}

const INFO: ModelInfo = {
  arithmetic: "fake-1",
  architecture: "FakeForCausalLM",
  device: "none",
  dtype: "float32",
  hidden_size: 8,
  vocab_size: 64,
  num_hidden_layers: 2,
  max_position_embeddings: 1024,
  max_seq_len: 1024,
  preferred_tokens: 4 * 256,
};

/** Makes a fake runner; see `FakeRunner`. Only jobs for distances and artifacts are answered. */
export function createFakeRunner(options: FakeRunnerOptions = {}): FakeRunner {
  return new Fake(options);
}

/** A float32 in [0, 2) that any change of a seed or of the length changes. */
export function fakeDistance(seeds: NonceSeeds): number {
  let hash = seeds.seq_len | 0;
  for (const seed of [seeds.input_seed, seeds.permutation_seed, seeds.target_seed]) {
    hash = Math.imul(hash ^ seed, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  // 24 bits, so that the quotient is a float32 below 2.
  return Math.fround((hash >>> 8) / 2 ** 23);
}

/** A vector of length 1 that follows from its seed. */
export function fakeVector(pickSeed: number, k: number): Float32Array {
  const angle = (pickSeed / 2 ** 32) * 2 * Math.PI;
  const vector = new Float32Array(k);
  vector[0] = k > 1 ? Math.cos(angle) : 1;
  if (k > 1) vector[1] = Math.sin(angle);
  return vector;
}

interface Waiting {
  readonly job: PrefillJob;
  resolve(result: PrefillResult): void;
  reject(error: Error): void;
}

class Fake implements FakeRunner {
  readonly info: ModelInfo;
  readonly jobs: PrefillJob[] = [];
  readonly cancelled: number[] = [];
  readonly #distance: (seeds: NonceSeeds) => number;
  readonly #vector: (pickSeed: number, k: number) => Float32Array;
  readonly #waiting = new Map<number, Waiting>();
  readonly #arrivals: { number: number; resolve(job: PrefillJob): void }[] = [];
  readonly #sessions: FakeSessions;
  #held = false;
  #cancelAnswer: { completed: number } | "ignore" = { completed: 0 };
  #faults: Error[] = [];
  #lost: string | null = null;

  constructor({ info, distance, vector }: FakeRunnerOptions) {
    this.info = { ...INFO, ...info };
    this.#distance = distance ?? fakeDistance;
    this.#vector = vector ?? fakeVector;
    this.#sessions = new FakeSessions(this.info.vocab_size);
  }

  get sessionLimits(): SessionLimits {
    return this.#sessions.sessionLimits;
  }

  openSession(session: TokenSession, onToken: (token: SessionToken) => void): Promise<SessionEnd> {
    return this.#sessions.openSession(session, onToken);
  }

  cancelSession(id: number): void {
    this.#sessions.cancelSession(id);
  }

  get sessionStats(): SessionStats {
    return this.#sessions.sessionStats;
  }

  get waiting(): number[] {
    return [...this.#waiting.keys()];
  }

  run(job: PrefillJob): Promise<PrefillResult> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(new RunnerLost(this.#lost));
      if (this.#waiting.has(job.id)) return reject(new Error(`job ${job.id} is given twice`));
      this.jobs.push(job);
      this.#waiting.set(job.id, { job, resolve, reject });
      for (const arrival of this.#arrivals.splice(0)) {
        if (arrival.number < this.jobs.length) arrival.resolve(job);
        else this.#arrivals.push(arrival);
      }
      const fault = this.#faults.shift();
      if (fault) void nextTurn().then(() => this.#take(job.id)?.reject(fault));
      else if (!this.#held) void nextTurn().then(() => this.#held || this.#answer(job.id));
    });
  }

  started(number: number): Promise<PrefillJob> {
    const job = this.jobs[number];
    if (job) return Promise.resolve(job);
    return new Promise((resolve) => this.#arrivals.push({ number, resolve }));
  }

  hold(): void {
    this.#held = true;
  }

  release(id?: number): void {
    if (id === undefined) this.#held = false;
    for (const waiting of id === undefined ? this.waiting : [id]) this.#answer(waiting);
  }

  onCancel(answer: { completed: number } | "ignore"): void {
    this.#cancelAnswer = answer;
  }

  fail(error: Error, times = 1): void {
    for (let i = 0; i < times; i++) this.#faults.push(error);
  }

  lose(reason = "the runner is gone"): void {
    this.#lost = reason;
    for (const id of this.waiting) this.#take(id)?.reject(new RunnerLost(reason));
  }

  cancel(id: number): void {
    this.cancelled.push(id);
    if (this.#cancelAnswer !== "ignore") this.#answer(id, this.#cancelAnswer.completed);
  }

  async close(): Promise<void> {
    this.lose("the runner is closed");
  }

  #vectors({ k_dim, pick_seeds }: PrefillOutput & { kind: "artifact" }, count: number) {
    const values = new Float32Array(count * k_dim);
    for (let i = 0; i < count; i++) values.set(this.#vector(pick_seeds[i] ?? 0, k_dim), i * k_dim);
    return values;
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #answer(id: number, atMost = Number.POSITIVE_INFINITY): void {
    const waiting = this.#take(id);
    if (!waiting) return;
    const { input_seeds, output, seq_len } = waiting.job;
    if (output.kind !== "distance" && output.kind !== "artifact") {
      waiting.reject(new Error(`the fake runner has no ${output.kind}`));
      return;
    }
    const completed = Math.min(atMost, batchOf(waiting.job));
    const values =
      output.kind === "artifact"
        ? this.#vectors(output, completed)
        : Float32Array.from({ length: completed }, (_, i) =>
            this.#distance({
              input_seed: input_seeds[i] ?? 0,
              permutation_seed: output.permutation_seeds[i] ?? 0,
              target_seed: output.target_seed,
              seq_len,
            }),
          );
    waiting.resolve({ completed, values });
  }
}
