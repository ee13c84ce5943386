/** A node's runners, one for each device: loaded one after the other, compared, and kept at work. */
import { availableParallelism } from "node:os";
import type { Logger, RunnerInfo, SessionStats } from "@proofmill/core";
import type { RunnersTogether } from "@proofmill/native/model/memory";
import type { EndReason, ProcessRunner } from "./process.ts";
import { type ProcessPlace, Supervisor } from "./supervisor.ts";

/** What one runner is started with. */
export interface RunnerPlan {
  /** What it is called; no two of a node have one name. */
  readonly id: string;
  /** `auto`, `cpu` or `cuda:N`. */
  readonly device: string;
  /** Undefined: one per core. */
  readonly threads: number | undefined;
  /** Those that share this machine's memory with it. */
  readonly runners: RunnersTogether;
}

/** Starts a process and loads the model in it; rejects, also when `signal` aborts. */
export type StartPlanned = (plan: RunnerPlan, signal: AbortSignal) => Promise<ProcessRunner>;

export interface FleetOptions {
  /** As ServeConfig's. */
  devices: readonly string[];
  /** Of all runners on the CPU; undefined: one per core. */
  threads: number | undefined;
  /** How many GPUs there are; asked for `cuda:all` alone. */
  countGpus: (signal: AbortSignal) => Promise<number>;
  start: StartPlanned;
  /** A place for a runner in the service. */
  openPlace: () => ProcessPlace;
  /** Called before each restart of a runner with how it ended. */
  onRestart?: (id: string, reason: EndReason) => void;
  /** Called when a runner's state is another, with the one before. */
  onState?: (info: RunnerInfo, before: RunnerInfo["state"]) => void;
  /** Restarts of a runner with no finished pass between, 0 … */
  maxRestarts: number;
  log: Logger;
}

/**
 * @example
 * const fleet = new Fleet({ devices: ["cuda:0", "cuda:1"], … });
 * await fleet.load();
 * const reason = await fleet.lost; // not one is left
 */
export class Fleet {
  /** Resolves with the last one's reason when all runners are lost for good; never when it is closed. */
  readonly lost: Promise<Error>;
  readonly #options: FleetOptions;
  readonly #closing = new AbortController();
  #isLost: (reason: Error) => void = () => {};
  #supervisors: readonly Supervisor[];

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#supervisors = this.#planned(options.devices);
    this.lost = new Promise((resolve) => {
      this.#isLost = resolve;
    });
  }

  /** How each runner is now, in the order of the devices. */
  get infos(): readonly RunnerInfo[] {
    return this.#supervisors.map(({ info }) => info);
  }

  /** Of all runners together. */
  get sessionStats(): SessionStats {
    const sum = { pages: 0, pages_in_use: 0, running: 0, waiting: 0, preempted: 0 };
    for (const { sessionStats } of this.#supervisors) {
      if (!sessionStats) continue;
      for (const key of Object.keys(sum) as (keyof SessionStats)[]) sum[key] += sessionStats[key];
    }
    return sum;
  }

  /** Whether a runner is at work. */
  get isAtWork(): boolean {
    return this.#supervisors.some(({ info }) => info.state === "alive");
  }

  /**
   * Loads the model on one device after the other, so that each finds the memory that is left, and
   * lets them work when all have it. Call it once.
   *
   * @throws Error with the loader's own message, or naming two devices that compute differently; then
   *   none is left at work
   */
  async load(): Promise<void> {
    const { devices, countGpus, openPlace } = this.#options;
    if (devices[0] === "cuda:all") {
      const count = await countGpus(this.#closing.signal);
      this.#supervisors = this.#planned(Array.from({ length: count }, (_, i) => `cuda:${i}`));
    }
    try {
      const loaded: { id: string; runner: ProcessRunner }[] = [];
      for (const supervisor of this.#supervisors) {
        const next = { id: supervisor.info.id, runner: await supervisor.load() };
        loaded.push(next);
        refuseUnequal(loaded[0] ?? next, next);
      }
    } catch (error) {
      await this.close();
      throw error;
    }
    for (const supervisor of this.#supervisors) supervisor.supervise(openPlace());
  }

  /** Starts no more. What is loading is given up; runners that are at work go on until `close`. */
  abort(): void {
    this.#closing.abort();
    for (const supervisor of this.#supervisors) supervisor.abort();
  }

  /** Ends all runners, and whatever would start others. Idempotent. */
  async close(): Promise<void> {
    this.abort();
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.close()));
  }

  #planned(devices: readonly string[]): readonly Supervisor[] {
    const { threads, start, onRestart, onState, maxRestarts, log } = this.#options;
    const plans = planRunners(devices, threads);
    return plans.map(
      (plan, i) =>
        new Supervisor({
          id: plan.id,
          start: (signal, { isFirst }) => {
            const toLoad = isFirst ? plans.length - i : 1;
            return start({ ...plan, runners: { all: plans.length, toLoad } }, signal);
          },
          onRestart: (reason) => onRestart?.(plan.id, reason),
          ...(onState && { onState }),
          maxRestarts,
          log,
          onLost: (reason) => this.#lose(plan.id, reason),
        }),
    );
  }

  #lose(id: string, reason: Error): void {
    const left = this.infos.filter(({ state }) => state !== "lost").length;
    if (left === 0) {
      this.#isLost(reason);
      return;
    }
    this.#options.log.error(
      { runner: id, runners_left: left },
      "the node goes on with fewer runners",
    );
  }
}

/** Runners on the CPU divide its threads; each has one at least. */
export function planRunners(
  devices: readonly string[],
  threads: number | undefined,
): Omit<RunnerPlan, "runners">[] {
  const count = devices.length;
  if (count === 1 || devices[0] !== "cpu") {
    return devices.map((device) => ({ id: device, device, threads }));
  }
  const all = threads ?? availableParallelism();
  return devices.map((device, i) => ({
    id: `${device}:${i}`,
    device,
    threads: Math.max(1, Math.floor(all / count) + (i < all % count ? 1 : 0)),
  }));
}

/** @throws Error where two devices give other bits, by their tags or by what they computed */
function refuseUnequal(
  first: { id: string; runner: ProcessRunner },
  next: { id: string; runner: ProcessRunner },
): void {
  const names = `${first.id} and ${next.id}`;
  const { arithmetic: a, warm_up: was } = first.runner.info;
  const { arithmetic: b, warm_up: is } = next.runner.info;
  if (a !== b) {
    throw new Error(`${names} differ in their arithmetic, ${a} and ${b}: run a node for each`);
  }
  if (was === is) return;
  throw new Error(
    `${names} have one arithmetic, ${a}, and yet computed two nonces of their warm-up differently ` +
      `(${was}; ${is}): one of them is faulty, which proofmill ` +
      "selftest --device may tell",
  );
}
