/** What a self-test is made of. */
import type { ModelRunner } from "@proofmill/core";
import type { NativeModel, OperationCheck } from "../binding.ts";
import type { Precision } from "../model/precision.ts";

/** The device under test; checks reach it through this alone. */
export interface Device {
  readonly kind: "cpu" | "cuda";
  loadGolden(model: string, dtype: Precision): Promise<ModelRunner>;
  compareOperations(dtype: Precision): Promise<OperationCheck[]>;
  /** A model with random weights for a long search. */
  loadSearch(): Promise<Search>;
}

export interface Search {
  model: Pick<NativeModel, "run" | "memoryInUse" | "close" | "device" | "arithmetic">;
  shape: string;
  seqLen: number;
  batch: number;
}

interface Finding {
  ok: boolean;
  /** One line for a person. */
  detail: string;
}

/** A check that cannot be carried out throws, which is a failure too. */
export interface Check {
  name: string;
  run(device: Device): Promise<Finding>;
}

export interface CheckResult extends Finding {
  name: string;
  seconds: number;
}

/** Carries out all checks, whatever becomes of one, and tells of each when it has ended. */
export async function runChecks(
  checks: readonly Check[],
  device: Device,
  onResult: (result: CheckResult) => void = () => {},
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const { name, run } of checks) {
    const started = performance.now();
    const finding = await run(device).catch((error: unknown) => ({
      ok: false,
      detail: error instanceof Error ? error.message : String(error),
    }));
    const result = { name, ...finding, seconds: (performance.now() - started) / 1000 };
    results.push(result);
    onResult(result);
  }
  return results;
}

/** An error to two digits. */
export function brief(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}
