/** Whether a device computes what it must: for operators, before it earns or costs money. */

import { loadShape } from "../bench.ts";
import { addon } from "../binding.ts";
import { type DeviceChoice, resolveDevice } from "../device.ts";
import { loadModel } from "../index.ts";
import type { Precision } from "../model/precision.ts";
import { artifactCheck } from "./artifacts.ts";
import { type Check, type CheckResult, type Device, runChecks } from "./check.ts";
import { goldenCheck, goldenDirectory } from "./golden.ts";
import { invarianceCheck } from "./invariance.ts";
import { operationsCheck } from "./operations.ts";
import { steadyCheck } from "./steady.ts";

export { resolveDevice } from "../device.ts";
export type { CheckResult } from "./check.ts";

export interface SelftestOptions extends DeviceChoice {
  /** Length of the steady search, ≥ 1. */
  seconds: number;
  /** Is told of each check when it has ended. */
  onResult?: (result: CheckResult) => void;
}

export interface Selftest {
  /** "cpu", "cuda:0", … */
  device: string;
  ok: boolean;
  checks: CheckResult[];
}

const PRECISIONS: readonly Precision[] = ["float32", "bfloat16"];

/** @throws Error when the device cannot be used at all, as `loadModel` does */
export async function selftest(options: SelftestOptions): Promise<Selftest> {
  const { seconds, onResult, ...choice } = options;
  const checks: Check[] = [
    ...PRECISIONS.map(operationsCheck),
    ...PRECISIONS.map(goldenCheck),
    ...PRECISIONS.map(artifactCheck),
    ...PRECISIONS.map(invarianceCheck),
    steadyCheck(seconds),
  ];
  return check(checks, choice, onResult);
}

/**
 * The golden numbers alone, which takes seconds.
 *
 * @throws Error when the device cannot be used at all, as `loadModel` does
 */
export async function selftestInShort(choice: DeviceChoice): Promise<CheckResult[]> {
  const checks = [...PRECISIONS.map(goldenCheck), ...PRECISIONS.map(artifactCheck)];
  return (await check(checks, choice)).checks;
}

async function check(
  checks: readonly Check[],
  choice: DeviceChoice,
  onResult?: (result: CheckResult) => void,
): Promise<Selftest> {
  const { onNotice: _, ...silent } = choice;
  const resolved = resolveDevice(choice);
  // The shapes that operations are compared on are small: more threads gain nothing.
  const forOperations = { ...resolved, threads: choice.threads ?? 1 };
  const { cuda } = resolved;
  const device: Device = {
    kind: cuda ? "cuda" : "cpu",
    loadGolden: (model, dtype) =>
      loadModel({ directory: goldenDirectory(model), dtype, ...silent }),
    compareOperations: (dtype) => addon.compareOperations({ dtype, ...forOperations }),
    loadSearch: async () => {
      // As large as makes sense to repeat for a minute.
      const shape = cuda ? "qwen3-0.6b" : "qwen3-tiny";
      const [seqLen, batch] = cuda ? [256, 32] : [64, 16];
      const { model } = await loadShape({ shape, dtype: "bfloat16", ...silent });
      return { model, shape, seqLen, batch };
    },
  };
  const results = await runChecks(checks, device, onResult);
  return {
    device: cuda ? `cuda:${cuda.device}` : "cpu",
    ok: results.every(({ ok }) => ok),
    checks: results,
  };
}
