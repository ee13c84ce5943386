/** Keeps a runner fed: two jobs at a time, each asked for when there is room for it. */
import type { ModelInfo, ModelRunner, PrefillJob, PrefillResult } from "./ports.ts";
import { RunnerLost } from "./ports.ts";
import { Turns } from "./turns.ts";

/** One job and who wants to know of its end. */
export interface Work {
  readonly job: Omit<PrefillJob, "id">;
  /** Called exactly once. */
  settle(outcome: Outcome): void;
}

export type Outcome =
  /** `values` are the leading finished ones; the runner worked for about `milliseconds` on them. */
  | { readonly kind: "done"; readonly values: Float32Array; readonly milliseconds: number }
  /** The job itself failed; the runner is well. */
  | { readonly kind: "fault"; readonly error: Error }
  /** The runner is gone. */
  | { readonly kind: "lost"; readonly error: Error };

/** One job at work and one waiting behind it, so that the device never waits for us. */
const DEPTH = 2;

interface Attached {
  readonly runner: ModelRunner;
  /** Work → the id of its job. */
  readonly inFlight: Map<Work, number>;
}

/** One kind of work. */
export interface Source {
  /** Of the runner's time, beside the other sources' shares; > 0. */
  readonly share: number;
  /** Gives its most urgent work, or null when it has none. */
  next(info: ModelInfo): Work | null;
}

export class Dispatcher<Kind extends string = string> {
  readonly #sources: Readonly<Record<Kind, Source>>;
  readonly #turns: Turns<Kind>;
  readonly #onLost: (error: Error) => void;
  readonly #now: () => number;
  #attached: Attached | null = null;
  #nextId = 0;
  #lastSettled = 0;

  /**
   * @param options.sources asked in turns whenever there is room, so that those that have work get
   *   their shares of the runner's time
   * @param options.onLost a job was answered with RunnerLost
   * @param options.now monotonic milliseconds
   */
  constructor(options: {
    sources: Readonly<Record<Kind, Source>>;
    onLost: (error: Error) => void;
    now: () => number;
  }) {
    this.#sources = options.sources;
    const shares = Object.entries<Source>(options.sources).map(([kind, { share }]) => [
      kind,
      share,
    ]);
    this.#turns = new Turns(Object.fromEntries(shares) as Record<Kind, number>);
    this.#onLost = options.onLost;
    this.#now = options.now;
  }

  attach(runner: ModelRunner): void {
    this.#attached = { runner, inFlight: new Map() };
    this.wake();
  }

  /** Lets the runner go: what is in flight is lost at once, and its answers are ignored. */
  detach(error: Error): void {
    const attached = this.#attached;
    this.#attached = null;
    for (const work of attached?.inFlight.keys() ?? []) work.settle({ kind: "lost", error });
  }

  /** Asks for work again. To be called whenever there may be some. */
  wake(): void {
    const attached = this.#attached;
    while (attached && attached === this.#attached && attached.inFlight.size < DEPTH) {
      const next = this.#next(attached.runner.info);
      if (!next) return;
      const id = this.#nextId++;
      attached.inFlight.set(next.work, id);
      void this.#run(attached, { ...next, id });
    }
  }

  #next(info: ModelInfo): { work: Work; spent: (milliseconds: number) => void } | null {
    const unwanting: Kind[] = [];
    for (const kind of this.#turns.order()) {
      const work = this.#sources[kind].next(info);
      if (work) return { work, spent: this.#turns.take(kind, unwanting) };
      unwanting.push(kind);
    }
    return null;
  }

  /** Asks the runner to cut this work; it settles with what is finished. Idempotent. */
  cancel(work: Work): void {
    const id = this.#attached?.inFlight.get(work);
    if (id !== undefined) this.#attached?.runner.cancel(id);
  }

  async #run(
    attached: Attached,
    { work, spent, id }: { work: Work; spent: (milliseconds: number) => void; id: number },
  ): Promise<void> {
    const given = this.#now();
    // The runner takes one job at a time: this one began when the one before it ended.
    const milliseconds = () => this.#now() - Math.max(given, this.#lastSettled);
    let outcome: Outcome;
    try {
      const result = await attached.runner.run({ ...work.job, id });
      outcome = checked(result, work.job.input_seeds.length, milliseconds());
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      outcome = { kind: error instanceof RunnerLost ? "lost" : "fault", error };
    }
    spent(milliseconds());
    this.#lastSettled = this.#now();
    if (attached !== this.#attached) return; // settled by detach
    attached.inFlight.delete(work);
    work.settle(outcome);
    if (outcome.kind === "lost") this.#onLost(outcome.error);
    else this.wake();
  }
}

/** A runner lives in another process: what it says is looked at before it is counted. */
function checked(result: PrefillResult, batch: number, milliseconds: number): Outcome {
  const { completed, values } = result;
  const fits = Number.isInteger(completed) && completed >= 0 && completed <= batch;
  if (!fits || values.length !== completed) {
    const error = new Error(
      `the runner answered ${completed} of ${batch} nonces with ${values.length} values`,
    );
    return { kind: "fault", error };
  }
  return { kind: "done", values, milliseconds };
}
