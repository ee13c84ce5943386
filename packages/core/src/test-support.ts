/** What several tests of this package share. */
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { MemoryRoundStore, type RoundProgress } from "./round/store.ts";
import { PocService, type PocServiceOptions } from "./service.ts";
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
