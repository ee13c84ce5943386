/** Keeps a runner at work: one that dies is started again, as long as it gets anything done. */
import { setTimeout as pause } from "node:timers/promises";
import { type Logger, pauseAfter, type RunnerInfo, type SessionStats } from "@proofmill/core";
import { type EndReason, endReasonOf, type ProcessRunner } from "./process.ts";

/** As core's place for runners, for those in processes, which have sessions too. */
export interface ProcessPlace {
  attach(runner: ProcessRunner): (reason: Error) => void;
  giveUp(reason: Error): void;
}

/** Before the second restart in a row, the third, …; the first is at once. */
const BACKOFF = { first: 500, most: 30_000 };

interface SupervisorOptions {
  /** What the runner is called. */
  id: string;
  /** Starts a process and loads the model in it; rejects, also when `signal` aborts. */
  start: (signal: AbortSignal, which: { isFirst: boolean }) => Promise<ProcessRunner>;
  /** Called before each restart with how the runner ended; `start_failed` where it did not come up. */
  onRestart?: (reason: EndReason) => void;
  /** Restarts with no finished pass between, 0 … */
  maxRestarts: number;
  log: Logger;
  /** Called when its state is another, with the one before; nobody by default. */
  onState?: (info: RunnerInfo, before: RunnerInfo["state"]) => void;
  /** It is lost for good, for this reason; not called once it is closed. */
  onLost: (reason: Error) => void;
}

/**
 * Starts one runner and has the next one started when it ends, with the same model and arithmetic.
 *
 * @example
 * const supervisor = new Supervisor({ id: "cpu", start, … });
 * await supervisor.load();
 * supervisor.supervise(service.openPlace());
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #closing = new AbortController();
  #runner: ProcessRunner | null = null;
  #info: RunnerInfo;
  /** The state that was told last. */
  #told: RunnerInfo["state"] = "loading";
  #work: Promise<void> | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#info = {
      ...{ id: options.id, device: null, arithmetic: null, pid: null },
      ...{ state: "loading", reason: null, restarts: 0, memory: null, peak_memory: null },
    };
  }

  /** How the runner is now. */
  get info(): RunnerInfo {
    if (!this.#runner) return this.#info;
    const { memory, isStalled } = this.#runner;
    return {
      ...this.#info,
      ...(isStalled && { state: "stalled" }),
      ...(memory && { memory: memory.present, peak_memory: memory.peak }),
    };
  }

  /** Of the process that is there now; null while there is none, or it has no room for sessions. */
  get sessionStats(): SessionStats | null {
    return this.#runner?.sessionStats ?? null;
  }

  /**
   * The first start: the runner has no work yet. Call it once.
   *
   * @throws Error with the loader's own message; then nothing is started again
   */
  async load(): Promise<ProcessRunner> {
    const { signal } = this.#closing;
    const runner = await this.#options.start(signal, { isFirst: true });
    this.#runner = runner;
    if (signal.aborted) await this.close();
    signal.throwIfAborted();
    return runner;
  }

  /** Gives the loaded runner work in this place, and starts it again when it ends. Call it once. */
  supervise(place: ProcessPlace): void {
    if (this.#runner) this.#work = this.#supervise(this.#runner, place);
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

  async #supervise(first: ProcessRunner, place: ProcessPlace): Promise<void> {
    const { id, maxRestarts, onRestart, log } = this.#options;
    let { reason } = await this.#attend(first, place);
    let restarts = 0;
    let hasComputed = first.hasComputed;
    // One that has grown too large did not fail, as long as it gets anything done.
    const isPlanned = () => hasComputed && endReasonOf(reason) === "memory";
    while ((isPlanned() || restarts < maxRestarts) && !this.#isClosing) {
      if (!isPlanned()) restarts++;
      const pause_ms = restarts <= 1 ? 0 : Math.round(pauseAfter(restarts - 1, BACKOFF));
      const fields = { runner: id, err: reason, restart: restarts, of: maxRestarts, pause_ms };
      log.warn(fields, "the runner is started again");
      this.#change({ restarts: this.#info.restarts + 1 });
      onRestart?.(endReasonOf(reason));
      try {
        const runner = await this.#startAfter(pause_ms, first);
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
      { runner: id, err: reason, restarts },
      maxRestarts === 0
        ? "the runner is lost for good: it is never started again"
        : "the runner is lost for good: it was started again and again and finished nothing",
    );
    this.#change({ state: "lost" });
    place.giveUp(reason);
    this.#options.onLost(reason);
  }

  /** Attaches a runner until it ends. */
  async #attend(
    runner: ProcessRunner,
    place: ProcessPlace,
  ): Promise<{ reason: Error; hasComputed: boolean }> {
    this.#runner = runner;
    runner.onStall = () => this.#tell();
    this.#options.log.info(
      { runner: this.#options.id, runner_pid: runner.pid, ...runner.info },
      "model loaded",
    );
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
   *   that is another runner, which nobody asked for; and where it does not compute what it did
   */
  async #startAfter(milliseconds: number, first: ProcessRunner): Promise<ProcessRunner> {
    const { signal } = this.#closing;
    await pause(milliseconds, undefined, { signal });
    const runner = await this.#options.start(signal, { isFirst: false });
    const [was, now] = [first.info, runner.info];
    const isSame = was.arithmetic === now.arithmetic;
    if (isSame && was.warm_up === now.warm_up && !signal.aborted) return runner;
    await runner.close();
    throw new Error(
      isSame
        ? `the runner's warm-up gave ${was.warm_up} when it first came, now it gives ${now.warm_up}`
        : `the runner's arithmetic was ${was.arithmetic}, now it is ${now.arithmetic}`,
    );
  }

  #change(change: Partial<RunnerInfo>): void {
    this.#info = { ...this.#info, ...change };
    this.#tell();
  }

  #tell(): void {
    const { info } = this;
    const before = this.#told;
    this.#told = info.state;
    if (info.state !== before && !this.#isClosing) this.#options.onState?.(info, before);
  }

  get #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }
}
