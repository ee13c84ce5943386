/** The best rate that each device has reached, kept in the data folder. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Finding, failed, ok } from "./check.ts";

export const RATES_FILE = "doctor-rates.json";
/** More are forgotten, oldest first. */
const MAX_RATES = 100;
/** A device that reaches less than this share of what it reached before is not well. */
const LEAST_SHARE = 0.8;

export class Rates {
  readonly #file: string;
  readonly #best: Map<string, number>;

  /** @param folder an existing one; what is there and cannot be read counts as nothing */
  constructor(folder: string) {
    this.#file = join(folder, RATES_FILE);
    this.#best = new Map(read(this.#file));
  }

  /** In the unit of its key; null where none is known. */
  best(key: string): number | null {
    return this.#best.get(key) ?? null;
  }

  /** @throws Error of the file system */
  keep(key: string, rate: number): void {
    const best = Math.max(rate, this.best(key) ?? 0);
    this.#best.delete(key);
    this.#best.set(key, best);
    const entries = [...this.#best].slice(-MAX_RATES);
    writeFileSync(`${this.#file}.partial`, JSON.stringify(Object.fromEntries(entries)), {
      mode: 0o600,
    });
    renameSync(`${this.#file}.partial`, this.#file);
  }
}

function read(file: string): [string, number][] {
  try {
    const kept: unknown = JSON.parse(readFileSync(file, "utf8"));
    const entries = Object.entries(kept as Record<string, unknown>);
    return entries.filter((entry): entry is [string, number] => Number(entry[1]) > 0);
  } catch {
    return []; // not there yet, or not ours
  }
}

/** Whether a rate is what it was before; the best is kept. */
export function judgeRate(
  rate: number,
  { key, rates, unit }: { key: string; rates: Rates | null; unit: string },
): Finding {
  const words = `${Number(rate.toPrecision(3))} ${unit}`;
  const before = rates?.best(key) ?? null;
  if (before !== null && rate < before * LEAST_SHARE) {
    return failed(
      `${words}, this device reached ${Number(before.toPrecision(3))} before: look for other ` +
        "programs on it, for its heat and for its power limit",
    );
  }
  rates?.keep(key, rate);
  return ok(before === null ? `${words}; nothing to compare with yet` : `${words}, as before`);
}
