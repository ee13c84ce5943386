/** The node's runners together: what they can compute, and what is refused without them. */
import {
  type AttachedRunner,
  Dispatcher,
  type EndedJob,
  type Source,
  takes,
} from "../runner/dispatcher.ts";
import type { ModelInfo, ModelRunner } from "../runner/ports.ts";
import type { Logger } from "../util/log.ts";
import { PocError } from "../wire/errors.ts";
import type { InitLimits } from "../wire/schemas.ts";

interface RunnersOptions {
  /** Work of both kinds, each with its share of all runners' time. */
  sources: Readonly<Record<"proofs" | "search", Source>>;
  now: () => number;
  log: Logger;
  /** A job has ended, well or not. */
  onJobEnded: (job: EndedJob) => void;
  /**
   * A runner has come, is gone (its jobs have been settled as lost), or is not waited for any longer;
   * in the last two cases for this reason.
   */
  onChange: (reason?: Error) => void;
}

/**
 * Where a runner is attached that is started again when it is lost: until the place is given up work
 * waits for the next one, and no round stops.
 */
export interface RunnerPlace {
  /** As `PocService.attach`. The runner before it must be gone. */
  attach(runner: ModelRunner): (reason: Error) => void;
  /** No further runner comes. Idempotent. */
  giveUp(reason: Error): void;
}

export class Runners {
  readonly dispatcher: Dispatcher;
  readonly #onChange: (reason?: Error) => void;
  /** The runner that each place has, or had last; null before its first. */
  readonly #places = new Map<RunnerPlace, AttachedRunner | null>();
  /** What the runner said of itself that went last. */
  #lastGone: ModelInfo | null = null;
  /** Why the last one went, or comes no more. */
  #lastReason: Error | null = null;

  constructor({ sources, now, log, onJobEnded, onChange }: RunnersOptions) {
    this.#onChange = onChange;
    this.dispatcher = new Dispatcher({
      sources,
      now,
      onEnded: onJobEnded,
      onDetached: (error, { info }) => {
        const fields = { err: error, device: info.device, runners_left: this.#infos.length };
        log.error(fields, "the runner is gone");
        this.#lastGone = info;
        this.#lastReason = error;
        onChange(error);
      },
    });
  }

  /** See `PocService.attach`. */
  attach(runner: ModelRunner): (reason: Error) => void {
    const detach = this.dispatcher.attach(runner);
    this.#hasCome();
    return detach;
  }

  /** See `PocService.openPlace`. */
  openPlace(): RunnerPlace {
    const place: RunnerPlace = {
      attach: (runner) => {
        const detach = this.dispatcher.attach(runner);
        this.#places.set(place, this.dispatcher.runners.at(-1) ?? null);
        this.#hasCome();
        return detach;
      },
      giveUp: (reason) => {
        if (!this.#places.delete(place)) return;
        this.#lastReason = reason;
        this.#onChange(reason);
      },
    };
    this.#places.set(place, null);
    return place;
  }

  /** Whether there is at least one. */
  get areReady(): boolean {
    return this.#infos.length > 0;
  }

  /** Whether there is one, or one that was lost comes again. */
  get areExpected(): boolean {
    return this.#expected.length > 0;
  }

  /**
   * The model of the runner that was attached first; of the last one that went when none is left, and
   * null before the first has come.
   */
  get model(): ModelInfo | null {
    return this.#infos[0] ?? this.#lastGone;
  }

  /** That model's tag. A result carries the tag of the runner that computed it instead. */
  get arithmetic(): string | null {
    return this.model?.arithmetic ?? null;
  }

  /**
   * The longest sequence that one of them computes, also one that comes again; 0 without any. A runner
   * takes no part in a round that is too long for it.
   */
  get max_seq_len(): number {
    return Math.max(0, ...this.#expected.map(({ info }) => info.max_seq_len));
  }

  /** Whether one of them computes sequences of this length, also one that comes again. */
  someTakes(seqLen: number): boolean {
    return this.#expected.some((runner) => takes(runner, seqLen));
  }

  /** Whether one that was lost and computes sequences of this length comes again. */
  awaits(seqLen: number): boolean {
    const there = this.dispatcher.runners;
    return this.#expected.some((runner) => takes(runner, seqLen) && !there.includes(runner));
  }

  /**
   * Throws PocError MODEL_LOADING before the first has come, RUNNER_LOST once all have gone for good:
   * while one is started again there is no reason to refuse.
   */
  refuseUnlessExpected(): void {
    if (this.areExpected) return;
    throw new PocError(this.#lastGone ? "RUNNER_LOST" : "MODEL_LOADING");
  }

  /**
   * Throws PocError MODEL_LOADING also while a runner is started again, since nothing can be computed
   * then, and RUNNER_LOST with the reason.
   */
  refuseUnlessReady(): void {
    if (this.areReady) return;
    if (this.areExpected || !this.#lastReason) throw new PocError("MODEL_LOADING");
    const detail = `Runner is not available: ${this.#lastReason.message}`;
    throw new PocError("RUNNER_LOST", { detail });
  }

  /**
   * Throws PocError ROUND_TOO_LONG for a round of this length that none of them computes: one that is
   * kept may be of another model, or of a time with more memory.
   */
  refuseTooLong(seqLen: number): void {
    if (this.someTakes(seqLen)) return;
    const detail = `The round's seq_len of ${seqLen} is more than this node computes, ${this.max_seq_len}`;
    throw new PocError("ROUND_TOO_LONG", { detail });
  }

  /** What an init body has to fit with these runners; the same object where that is no change. */
  limit(limits: InitLimits): InitLimits {
    const { max_seq_len } = this;
    const hidden_size = this.model?.hidden_size;
    const isSame = max_seq_len === limits.max_seq_len && hidden_size === limits.hidden_size;
    return max_seq_len > 0 && !isSame ? { ...limits, max_seq_len, hidden_size } : limits;
  }

  #hasCome(): void {
    this.#onChange();
    this.dispatcher.wake(); // a proof of another arithmetic may only now be begun anew
  }

  /** Those that are there, and as they were those that come again. */
  get #expected(): readonly AttachedRunner[] {
    return [...new Set([...this.dispatcher.runners, ...this.#places.values()])].filter(
      (runner) => runner !== null,
    );
  }

  get #infos(): readonly ModelInfo[] {
    return this.dispatcher.runners.map(({ info }) => info);
  }
}
