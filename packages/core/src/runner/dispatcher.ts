/** Gives runners their work: each has two jobs at a time, and gets another when one has ended. */
import type { ModelInfo, ModelRunner, PrefillJob, PrefillResult } from "./ports.ts";
import { batchOf, RunnerLost } from "./ports.ts";
import { Turns } from "./turns.ts";

/** Jobs that a runner has: one that it computes, and one behind it so that the device never waits. */
const DEPTH = 2;

/**
 * A runner as sources of work see it, from `attach` until it is gone. Whatever they learn of it, such
 * as the size of its jobs, they keep under this object: each attachment has another one.
 */
export interface AttachedRunner {
  readonly info: ModelInfo;
}

/** Whether a runner takes jobs of this length. */
export function takes({ info }: AttachedRunner, seqLen: number): boolean {
  return seqLen <= info.max_seq_len;
}

/** A job, and what to call when it has ended. */
export interface Work {
  readonly job: Omit<PrefillJob, "id">;
  /** Floats that each of its nonces yields. */
  readonly width: number;
  /** Called exactly once. */
  settle(outcome: Outcome): void;
}

export type Outcome =
  | {
      readonly kind: "done";
      /** Nonces that are finished: the first ones of the job, all unless it was cut. */
      readonly completed: number;
      /** [completed, width] */
      readonly values: Float32Array;
      /** Of the runner that computed them. */
      readonly arithmetic: string;
      /** For about how long the runner worked on them. */
      readonly milliseconds: number;
    }
  /** The job itself failed; the runner is well. */
  | { readonly kind: "fault"; readonly error: Error }
  /** The runner is gone before it answered. */
  | { readonly kind: "lost"; readonly error: Error };

/** A job that has ended, for those who keep figures. */
export interface EndedJob {
  /** The source that it is of: `search` or `proofs`. */
  readonly work: string;
  readonly runner: ModelInfo;
  readonly seq_len: number;
  readonly outcome: Outcome;
}

/** A kind of work: the search, or proofs. */
export interface Source {
  /** How large a part of all runners' time it may have, relative to the other sources; > 0. */
  readonly share: number;
  /** The most urgent work that this runner can do, or null when there is none. */
  next(runner: AttachedRunner): Work | null;
}

/** A job that its runner has not answered. */
interface Given {
  readonly id: number;
  /** The source that it is of. */
  readonly kind: string;
  /** When the runner was given it. */
  readonly at: number;
  /** To be told how many milliseconds the runner spent on it. */
  readonly spent: (milliseconds: number) => void;
}

interface Attached extends AttachedRunner {
  readonly runner: ModelRunner;
  readonly inFlight: Map<Work, Given>;
  /** When it answered last, and so began with the job behind. */
  lastSettled: number;
}

/** Holds any number of runners and gives each of them the work that is most urgent. */
export class Dispatcher<Kind extends string = string> {
  readonly #sources: Readonly<Record<Kind, Source>>;
  readonly #turns: Turns<Kind>;
  readonly #onDetached: (error: Error, runner: AttachedRunner) => void;
  readonly #onEnded: (job: EndedJob) => void;
  readonly #now: () => number;
  /** In the order in which they came. */
  readonly #attached = new Set<Attached>();
  #nextId = 0;

  /**
   * @param options.sources asked for work whenever a runner has room, in an order that gives each
   *   its share of the runners' time
   * @param options.onDetached called when a runner was detached or has answered with RunnerLost,
   *   after its jobs have been settled as lost and before the other runners are given more work
   * @param options.onEnded called for each job, before its work is settled; must not throw
   * @param options.now monotonic milliseconds
   */
  constructor(options: {
    sources: Readonly<Record<Kind, Source>>;
    onDetached: (error: Error, runner: AttachedRunner) => void;
    onEnded?: (job: EndedJob) => void;
    now: () => number;
  }) {
    this.#sources = options.sources;
    const shares = Object.entries<Source>(options.sources).map(([kind, { share }]) => [
      kind,
      share,
    ]);
    this.#turns = new Turns(Object.fromEntries(shares) as Record<Kind, number>);
    this.#onDetached = options.onDetached;
    this.#onEnded = options.onEnded ?? (() => {});
    this.#now = options.now;
  }

  /** In the order in which they were attached. */
  get runners(): readonly AttachedRunner[] {
    return [...this.#attached];
  }

  /**
   * Gives this runner work from now on, too.
   *
   * @returns what detaches it: its jobs are settled as lost at once, and its answers are ignored. To
   *   call it again, or after the runner has answered with RunnerLost, does nothing
   */
  attach(runner: ModelRunner): (error: Error) => void {
    const attached: Attached = {
      runner,
      info: runner.info,
      inFlight: new Map(),
      lastSettled: Number.NEGATIVE_INFINITY,
    };
    this.#attached.add(attached);
    this.wake();
    return (error) => this.#detach(attached, error);
  }

  /** Asks for work again. To be called whenever there may be some. */
  wake(): void {
    // First a job for each runner that has none, then a second: so two jobs go to two runners.
    for (let depth = 0; depth < DEPTH; depth++) {
      for (const attached of this.#attached) {
        if (attached.inFlight.size === depth) this.#give(attached);
      }
    }
  }

  /** Has this work cut; it settles with what is finished. Does nothing for work that has settled. */
  cancel(work: Work): void {
    for (const { runner, inFlight } of this.#attached) {
      const given = inFlight.get(work);
      if (given) runner.cancel(given.id);
    }
  }

  /** For how many milliseconds a runner has been at this work; null once it has settled. */
  ageOf(work: Work): number | null {
    for (const attached of this.#attached) {
      const given = attached.inFlight.get(work);
      if (given) return this.#timeOf(attached, given);
    }
    return null;
  }

  #give(attached: Attached): void {
    const without: Kind[] = [];
    for (const kind of this.#turns.order()) {
      const work = this.#sources[kind].next(attached);
      if (work) {
        const spent = this.#turns.take(kind, without);
        const given = { id: this.#nextId++, kind, at: this.#now(), spent };
        attached.inFlight.set(work, given);
        void this.#run(attached, work, given);
        return;
      }
      without.push(kind);
    }
  }

  async #run(attached: Attached, work: Work, given: Given): Promise<void> {
    const { runner, info } = attached;
    let outcome: Outcome;
    try {
      const result = await runner.run({ ...work.job, id: given.id });
      const { completed, values } = checked(result, work);
      const milliseconds = this.#timeOf(attached, given);
      outcome = { kind: "done", completed, values, arithmetic: info.arithmetic, milliseconds };
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      if (error instanceof RunnerLost) return this.#detach(attached, error);
      outcome = { kind: "fault", error };
    }
    this.#settle(attached, work, outcome);
    this.wake();
  }

  #detach(attached: Attached, error: Error): void {
    if (!this.#attached.delete(attached)) return;
    for (const work of [...attached.inFlight.keys()]) {
      this.#settle(attached, work, { kind: "lost", error });
    }
    this.#onDetached(error, attached);
    this.wake();
  }

  /** Does nothing for work that has settled: a runner may answer after it was detached. */
  #settle(attached: Attached, work: Work, outcome: Outcome): void {
    const given = attached.inFlight.get(work);
    if (!given) return;
    attached.inFlight.delete(work);
    given.spent(this.#timeOf(attached, given));
    attached.lastSettled = this.#now();
    const { seq_len } = work.job;
    this.#onEnded({ work: given.kind, runner: attached.info, seq_len, outcome });
    work.settle(outcome);
  }

  /** A runner takes one job at a time: this one began when the one before it ended. */
  #timeOf({ lastSettled }: Attached, { at }: Given): number {
    return this.#now() - Math.max(at, lastSettled);
  }
}

/** A result that fits its job: a runner is another process, and may be wrong. */
function checked(result: PrefillResult, { job, width }: Work): PrefillResult {
  const { completed, values } = result;
  const batch = batchOf(job);
  const fits = Number.isInteger(completed) && completed >= 0 && completed <= batch;
  if (fits && values.length === completed * width) return result;
  throw new Error(
    `the runner answered ${completed} of ${batch} nonces with ${values.length} values`,
  );
}
