/** Keeps a runner at work: one that dies is started again, as long as it gets anything done. */
import { setTimeout as pause } from "node:timers/promises";
import { type Logger, pauseAfter, type RunnerInfo, type RunnerPlace } from "@proofmill/core";
import { type EndReason, endReasonOf, type ProcessRunner } from "./process.ts";

/** Before the second restart in a row, the third, …; the first is at once. */
const BACKOFF = { first: 500, most: 30_000 };

export interface SupervisorOptions {
  /** What the runner is called. */
  id: string;
  /** Starts a process and loads the model in it; rejects, also when `signal` aborts. */
  start: (signal: AbortSignal) => Promise<ProcessRunner>;
  /** A place for the runner in the service. */
  openPlace: () => RunnerPlace;
  /** Called before each restart with how the runner ended; `start_failed` where it did not come up. */
  onRestart?: (reason: EndReason) => void;
  /** Restarts with no finished pass between, 0 … */
  maxRestarts: number;
  log: Logger;
}

/**
 * Starts one runner and has the next one started when it ends, with the same model and arithmetic.
 *
 * @example
 * const supervisor = new Supervisor({ start, openPlace: () => service.openPlace(), … });
 * await supervisor.load();
 * const reason = await supervisor.lost; // it has died too often
 */
export class Supervisor {
  /** Resolves with the reason when the runner is lost for good; never when it is closed. */
  readonly lost: Promise<Error>;
  readonly #options: SupervisorOptions;
  readonly #closing = new AbortController();
  #isLost: (reason: Error) => void = () => {};
  #runner: ProcessRunner | null = null;
  #info: RunnerInfo;
  #work: Promise<void> | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#info = {
      ...{ id: options.id, device: null, arithmetic: null, pid: null },
      ...{ state: "loading", reason: null, restarts: 0, memory: null, peak_memory: null },
    };
    this.lost = new Promise((resolve) => {
      this.#isLost = resolve;
    });
  }

  /** How the runner is now. */
  get info(): RunnerInfo {
    const memory = this.#runner?.memory;
    if (!memory) return this.#info;
    return { ...this.#info, memory: memory.present, peak_memory: memory.peak };
  }

  /** Whether a model is loaded now. */
  get hasRunner(): boolean {
    return this.#runner !== null;
  }

  /**
   * The first start. Call it once.
   *
   * @throws Error with the loader's own message; then nothing is started again
   */
  async load(): Promise<void> {
    const runner = await this.#options.start(this.#closing.signal);
    const place = this.#options.openPlace();
    this.#work = this.#supervise(runner, place);
  }

  /** Starts no more. What is loading is given up; a runner that is there goes on until `close`. */
  abort(): void {
    this.#closing.abort();
  }

  /** Ends the runner, and whatever would start another. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    await (this.#runner?.close() ?? this.#work);
  }

  async #supervise(first: ProcessRunner, place: RunnerPlace): Promise<void> {
    const { maxRestarts, onRestart, log } = this.#options;
    const { arithmetic } = first.info;
    let { reason } = await this.#attend(first, place);
    let restarts = 0;
    let hasComputed = first.hasComputed;
    // One that has grown too large did not fail, as long as it gets anything done.
    const isPlanned = () => hasComputed && endReasonOf(reason) === "memory";
    while ((isPlanned() || restarts < maxRestarts) && !this.#isClosing) {
      if (!isPlanned()) restarts++;
      const pause_ms = restarts <= 1 ? 0 : Math.round(pauseAfter(restarts - 1, BACKOFF));
      const fields = { err: reason, restart: restarts, of: maxRestarts, pause_ms };
      log.warn(fields, "the runner is started again");
      this.#change({ restarts: this.#info.restarts + 1 });
      onRestart?.(endReasonOf(reason));
      try {
        const runner = await this.#startAfter(pause_ms, arithmetic);
        const life = await this.#attend(runner, place);
        ({ reason, hasComputed } = life);
        if (hasComputed) restarts = 0;
      } catch (error) {
        reason = error instanceof Error ? error : new Error(String(error));
        hasComputed = false;
        this.#change({ reason: reason.message });
      }
    }
    if (this.#isClosing) return;
    log.error(
      { err: reason, restarts },
      maxRestarts === 0
        ? "the runner is lost for good: it is never started again"
        : "the runner is lost for good: it was started again and again and finished nothing",
    );
    this.#change({ state: "lost" });
    place.giveUp(reason);
    this.#isLost(reason);
  }

  /** Attaches a runner until it ends. */
  async #attend(
    runner: ProcessRunner,
    place: RunnerPlace,
  ): Promise<{ reason: Error; hasComputed: boolean }> {
    this.#runner = runner;
    this.#options.log.info({ runner_pid: runner.pid, ...runner.info }, "model loaded");
    const { device, arithmetic } = runner.info;
    this.#change({ state: "alive", pid: runner.pid, device, arithmetic });
    const detach = place.attach(runner);
    const reason = await runner.ended;
    this.#runner = null;
    this.#change({ state: "restarting", pid: null, reason: reason.message });
    // The service goes on with the runner's jobs until it is told; when the node ends that is not said.
    if (!this.#isClosing) detach(reason);
    return { reason, hasComputed: runner.hasComputed };
  }

  /**
   * @throws Error also when the model came back with another arithmetic, e.g. because its GPU is gone:
   *   that is another runner, which nobody asked for
   */
  async #startAfter(milliseconds: number, arithmetic: string): Promise<ProcessRunner> {
    const { signal } = this.#closing;
    await pause(milliseconds, undefined, { signal });
    const runner = await this.#options.start(signal);
    if (runner.info.arithmetic === arithmetic && !signal.aborted) return runner;
    await runner.close();
    throw new Error(
      `the runner's arithmetic was ${arithmetic}, now it is ${runner.info.arithmetic}`,
    );
  }

  #change(change: Partial<RunnerInfo>): void {
    this.#info = { ...this.#info, ...change };
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }
}
