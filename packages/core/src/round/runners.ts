/** The node's runners together: what they can compute, and what is refused without them. */
import { Dispatcher, type Source, takes } from "../runner/dispatcher.ts";
import type { ModelInfo, ModelRunner } from "../runner/ports.ts";
import type { Logger } from "../util/log.ts";
import { PocError } from "../wire/errors.ts";

export interface RunnersOptions {
  /** Work of both kinds, each with its share of all runners' time. */
  sources: Readonly<Record<"proofs" | "search", Source>>;
  now: () => number;
  log: Logger;
  /** A runner is gone, and its jobs have been settled as lost. */
  onGone: (reason: Error) => void;
  /** A runner has come or gone. */
  onChange: () => void;
}

export class Runners {
  readonly dispatcher: Dispatcher;
  readonly #onChange: () => void;
  /** What the runner said of itself that went last. */
  #lastGone: ModelInfo | null = null;

  constructor({ sources, now, log, onGone, onChange }: RunnersOptions) {
    this.#onChange = onChange;
    this.dispatcher = new Dispatcher({
      sources,
      now,
      onDetached: (error, { info }) => {
        const fields = { err: error, device: info.device, runners_left: this.#infos.length };
        log.error(fields, "the runner is gone");
        this.#lastGone = info;
        onGone(error);
        onChange();
      },
    });
  }

  /** See `PocService.attach`. */
  attach(runner: ModelRunner): (reason: Error) => void {
    const detach = this.dispatcher.attach(runner);
    this.#onChange();
    return detach;
  }

  /** Whether there is at least one. */
  get areReady(): boolean {
    return this.#infos.length > 0;
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
   * The longest sequence that one of them computes, 0 without any. A runner takes no part in a round
   * that is too long for it.
   */
  get max_seq_len(): number {
    return Math.max(0, ...this.#infos.map((info) => info.max_seq_len));
  }

  /** Whether one of them computes sequences of this length. */
  someTakes(seqLen: number): boolean {
    return this.dispatcher.runners.some((runner) => takes(runner, seqLen));
  }

  /** Throws PocError MODEL_LOADING before the first has come, RUNNER_LOST once all have gone. */
  refuseUnlessReady(): void {
    if (this.areReady) return;
    throw new PocError(this.#lastGone ? "RUNNER_LOST" : "MODEL_LOADING");
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

  get #infos(): readonly ModelInfo[] {
    return this.dispatcher.runners.map(({ info }) => info);
  }
}
