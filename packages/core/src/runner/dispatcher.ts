/** Gives the runners their work: two jobs at a time each, asked for when there is room for them. */
import type { ModelInfo, ModelRunner, PrefillJob, PrefillResult } from "./ports.ts";
import { RunnerLost } from "./ports.ts";
import { Turns } from "./turns.ts";

/** A job at work and one that waits behind it, so that the device never waits for us. */
const DEPTH = 2;

/**
 * A runner from `attach` to its end, as those who have work see it. It is another object for each
 * attachment, so that whatever is learnt of a runner may be kept by it.
 */
export interface AttachedRunner {
  readonly info: ModelInfo;
}

/** Whether a runner takes jobs of this length. */
export function takes({ info }: AttachedRunner, seqLen: number): boolean {
  return seqLen <= info.max_seq_len;
}

/** One job and who wants to know of its end. */
export interface Work {
  readonly job: Omit<PrefillJob, "id">;
  /** Called exactly once. */
  settle(outcome: Outcome): void;
}

export type Outcome =
  | {
      readonly kind: "done";
      /** Those of the leading nonces that are finished. */
      readonly values: Float32Array;
      /** Of the runner that computed them. */
      readonly arithmetic: string;
      /** The runner worked for about so long on them. */
      readonly milliseconds: number;
    }
  /** The job itself failed; the runner is well. */
  | { readonly kind: "fault"; readonly error: Error }
  /** The runner is gone, and what it had finished with it. */
  | { readonly kind: "lost"; readonly error: Error };

/** One kind of work. */
export interface Source {
  /** Of all runners' time, beside the other sources' shares; > 0. */
  readonly share: number;
  /** Gives the most urgent work that this runner can do, or null when there is none. */
  next(runner: AttachedRunner): Work | null;
}

/** A job that its runner has not answered. */
interface Given {
  readonly id: number;
  readonly at: number;
  /** Is told how many milliseconds the runner spent on it. */
  readonly spent: (milliseconds: number) => void;
}

interface Attached extends AttachedRunner {
  readonly runner: ModelRunner;
  readonly inFlight: Map<Work, Given>;
  /** When it answered last: then it began with the job that waited. */
  lastSettled: number;
}

/** Holds any number of runners, and gives each of them whatever work is most urgent. */
export class Dispatcher<Kind extends string = string> {
  readonly #sources: Readonly<Record<Kind, Source>>;
  readonly #turns: Turns<Kind>;
  readonly #onDetached: (error: Error, runner: AttachedRunner) => void;
  readonly #now: () => number;
  /** In the order in which they came. */
  readonly #attached = new Set<Attached>();
  #nextId = 0;

  /**
   * @param options.sources asked in turns whenever a runner has room, so that those that have work
   *   get their shares of the runners' time
   * @param options.onDetached a runner is gone: it was detached, or answered with RunnerLost. Its
   *   jobs have been settled, and the others are asked for work afterwards
   * @param options.now monotonic milliseconds
   */
  constructor(options: {
    sources: Readonly<Record<Kind, Source>>;
    onDetached: (error: Error, runner: AttachedRunner) => void;
    now: () => number;
  }) {
    this.#sources = options.sources;
    const shares = Object.entries<Source>(options.sources).map(([kind, { share }]) => [
      kind,
      share,
    ]);
    this.#turns = new Turns(Object.fromEntries(shares) as Record<Kind, number>);
    this.#onDetached = options.onDetached;
    this.#now = options.now;
  }

  /** Those that are attached, in the order in which they came. */
  get runners(): readonly AttachedRunner[] {
    return [...this.#attached];
  }

  /**
   * Uses this runner from now on, beside the others.
   *
   * @returns what lets it go: its jobs in flight are lost at once, and its answers are ignored.
   *   Idempotent, also once the runner has said by itself that it is lost
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
    // Whoever has nothing comes first: a proof of two jobs is computed by two runners at once.
    for (let depth = 0; depth < DEPTH; depth++) {
      for (const attached of this.#attached) {
        if (attached.inFlight.size === depth) this.#give(attached);
      }
    }
  }

  /** Asks for this work to be cut; it settles with what is finished. Idempotent. */
  cancel(work: Work): void {
    for (const { runner, inFlight } of this.#attached) {
      const given = inFlight.get(work);
      if (given) runner.cancel(given.id);
    }
  }

  #give(attached: Attached): void {
    const unwanting: Kind[] = [];
    for (const kind of this.#turns.order()) {
      const work = this.#sources[kind].next(attached);
      if (work) {
        const spent = this.#turns.take(kind, unwanting);
        const given = { id: this.#nextId++, at: this.#now(), spent };
        attached.inFlight.set(work, given);
        void this.#run(attached, work, given);
        return;
      }
      unwanting.push(kind);
    }
  }

  async #run(attached: Attached, work: Work, given: Given): Promise<void> {
    const { runner, info } = attached;
    let outcome: Outcome;
    try {
      const result = await runner.run({ ...work.job, id: given.id });
      const values = checked(result, work.job.input_seeds.length);
      const milliseconds = this.#timeOf(attached, given);
      outcome = { kind: "done", values, arithmetic: info.arithmetic, milliseconds };
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

  /** Does nothing for what has been settled: a runner may answer after it was detached. */
  #settle(attached: Attached, work: Work, outcome: Outcome): void {
    const given = attached.inFlight.get(work);
    if (!given) return;
    attached.inFlight.delete(work);
    given.spent(this.#timeOf(attached, given));
    attached.lastSettled = this.#now();
    work.settle(outcome);
  }

  /** A runner takes one job at a time: this one began when the one before it ended. */
  #timeOf({ lastSettled }: Attached, { at }: Given): number {
    return this.#now() - Math.max(at, lastSettled);
  }
}

/**
 * The values of a result. A runner lives in another process: what it says is looked at before it is
 * counted.
 */
function checked({ completed, values }: PrefillResult, batch: number): Float32Array {
  const fits = Number.isInteger(completed) && completed >= 0 && completed <= batch;
  if (fits && values.length === completed) return values;
  throw new Error(
    `the runner answered ${completed} of ${batch} nonces with ${values.length} values`,
  );
}
