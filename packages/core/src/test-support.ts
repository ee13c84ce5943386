/** What several tests of this package share. */
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, vi } from "vitest";
import { permutationSeed, targetSeed } from "./proof/distance/seeds.ts";
import { inputSeed } from "./proof/seeds.ts";
import { MemoryRoundStore, type RoundProgress, type RoundStore } from "./round/store.ts";
import { fakeDistance } from "./runner/fake.ts";
import { PocService } from "./service.ts";
import type { PocServiceOptions } from "./service-options.ts";
import type { Logger } from "./util/log.ts";
import { PocError, type ValidationIssue } from "./wire/errors.ts";
import type { InitRequest } from "./wire/schemas.ts";

/** A file of test/golden, parsed. */
export function golden<T>(name: string): T {
  const url = new URL(`../../../test/golden/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as T;
}

/** An init body; every nonce is valid. */
export const BODY = {
  block_hash: "abc123",
  block_height: 100,
  public_key: "node1",
  r_target: 3,
  node_id: 0,
  node_count: 1,
};

export const CONFIG: InitRequest = {
  ...BODY,
  fraud_threshold: 0.01,
  batch_size: 32,
  seq_len: 256,
  callback_url: null,
};

let rounds = 0;

/** A service without a runner over a memory store. */
export function openService(options: Partial<PocServiceOptions> = {}): Promise<PocService> {
  return PocService.open({
    enabled: true,
    store: new MemoryRoundStore(),
    // As of ULIDs, the later one is greater.
    newRoundId: () => `round-${String(rounds++).padStart(6, "0")}`,
    defaults: { batch_size: 32, seq_len: 256 },
    ...options,
  });
}

/** Fakes timers in a file's tests; gives what opens services that are closed when their test ends. */
export function servicesOnFakeTimers(): typeof openService {
  let services: PocService[] = [];
  beforeEach(() => {
    services = [];
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(async () => {
    for (const service of services) await passing(service.close());
    vi.useRealTimers();
  });
  return async (options) => {
    const service = await openService(options);
    services.push(service);
    return service;
  };
}

/** Resolves when `condition` holds; it is asked again whenever the service has changed. */
export function until(service: PocService, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const off = service.on("change", check);
    function check() {
      if (!condition()) return;
      off();
      resolve();
    }
    check();
  });
}

/** Gives everything that waits for a turn of the event loop its turn. */
export async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

/** Lets faked timers run for so long, and real turns pass meanwhile. */
export async function pass(milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 50) {
    await turns(3);
    await vi.advanceTimersByTimeAsync(50);
  }
}

/** Lets real turns and faked timers pass until the promise has settled. */
export async function passing<T>(promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = () => {
    isSettled = true;
  };
  promise.then(settled, settled);
  while (!isSettled) await pass(50);
  return promise;
}

/** What a fake runner computes for a nonce of `BODY`'s block. */
export function distanceOf(nonce: number, public_key: string, seq_len = 256): number {
  const source = { block_hash: BODY.block_hash, public_key };
  return fakeDistance({
    input_seed: inputSeed(source, nonce),
    permutation_seed: permutationSeed(source, nonce),
    target_seed: targetSeed(BODY.block_hash),
    seq_len,
  });
}

/** What a promise was refused with. */
export async function refusal(promise: Promise<unknown>): Promise<PocError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof PocError) return error;
    throw error;
  }
  throw new Error("expected a refusal");
}

/** The issues of a refusal for an invalid body. */
export function issuesOf(action: () => unknown): ValidationIssue[] {
  try {
    action();
  } catch (error) {
    if (error instanceof PocError && Array.isArray(error.detail)) return error.detail;
    throw error;
  }
  throw new Error("expected issues");
}

/** Remembers what was logged. */
export class MemoryLog implements Logger {
  readonly lines: { level: string; message: string; fields: object }[] = [];
  debug = (fields: object, message: string) => this.#add("debug", fields, message);
  info = (fields: object, message: string) => this.#add("info", fields, message);
  warn = (fields: object, message: string) => this.#add("warn", fields, message);
  error = (fields: object, message: string) => this.#add("error", fields, message);

  messages(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, message, fields });
  }
}

/** A store as a process sees it that can be killed: from then on it hears of nothing any more. */
export function mortal(store: RoundStore): { store: RoundStore; kill: () => void } {
  let isKilled = false;
  const alive = <T>(call: () => Promise<T>) => (isKilled ? new Promise<never>(() => {}) : call());
  return {
    store: {
      create: (round) => alive(() => store.create(round)),
      append: (roundId, progress) => alive(() => store.append(roundId, progress)),
      enqueue: (verdict) => alive(() => store.enqueue(verdict)),
      keepJob: (job) => alive(() => store.keepJob(job)),
      endJob: (id, due) => alive(() => store.endJob(id, due)),
      jobs: () => alive(() => store.jobs()),
      greatestId: () => alive(() => store.greatestId()),
      recent: () => alive(() => store.recent()),
      probe: () => alive(() => store.probe()),
    },
    kill: () => {
      isKilled = true;
    },
  };
}

/** A store whose appends can be made to fail, before or after they have been taken. */
export class FaultyStore extends MemoryRoundStore {
  /** So many of the next appends fail. */
  failures = 0;
  /** Whether a failing append has been taken all the same, its answer lost. */
  takesAnyway = false;

  override async probe(): Promise<void> {
    if (this.failures > 0) throw new Error("the disk is full");
  }

  override async append(roundId: string, progress: RoundProgress): Promise<void> {
    const fails = this.failures > 0;
    if (fails) this.failures--;
    if (!fails || this.takesAnyway) await super.append(roundId, progress);
    if (fails) throw new Error("the disk is full");
  }
}
