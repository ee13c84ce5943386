/** Whether a device computes what it must: for operators, before it earns or costs money. */

import { loadShape } from "../bench.ts";
import { addon, type CudaOptions, type Precision } from "../binding.ts";
import { type DeviceChoice, resolveDevice } from "../device.ts";
import { loadModel } from "../index.ts";
import { type Check, type CheckResult, type Device, runChecks } from "./check.ts";
import { goldenCheck, goldenDirectory } from "./golden.ts";
import { invarianceCheck } from "./invariance.ts";
import { operationsCheck } from "./operations.ts";
import { steadyCheck } from "./steady.ts";

export { resolveDevice } from "../device.ts";
export type { CheckResult } from "./check.ts";

export interface SelftestOptions extends DeviceChoice {
  /** Threads on the CPU; one per core by default. */
  threads?: number;
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
  const { cuda } = resolveDevice(options);
  const checks: Check[] = [
    ...PRECISIONS.map(operationsCheck),
    ...PRECISIONS.map(goldenCheck),
    ...PRECISIONS.map(invarianceCheck),
    steadyCheck(options.seconds),
  ];
  const results = await runChecks(checks, deviceOf(options, cuda), options.onResult);
  return {
    device: cuda ? `cuda:${cuda.device}` : "cpu",
    ok: results.every(({ ok }) => ok),
    checks: results,
  };
}

function deviceOf(options: SelftestOptions, cuda: CudaOptions | null): Device {
  const { device, gpuMemoryUtilization, cudaLibrary, threads } = options;
  const choice = {
    ...(device === undefined ? {} : { device }),
    ...(gpuMemoryUtilization === undefined ? {} : { gpuMemoryUtilization }),
    ...(cudaLibrary === undefined ? {} : { cudaLibrary }),
    ...(threads === undefined ? {} : { threads }),
  };
  return {
    kind: cuda ? "cuda" : "cpu",
    loadGolden: (model, dtype) =>
      loadModel({ directory: goldenDirectory(model), dtype, ...choice }),
    compareOperations: (dtype) =>
      addon.compareOperations({ dtype, threads: threads ?? 1, ...(cuda ? { cuda } : {}) }),
    loadSearch: async () => {
      // As large as makes sense to repeat for a minute.
      const shape = cuda ? "qwen3-0.6b" : "qwen3-tiny";
      const [seqLen, batch] = cuda ? [256, 32] : [64, 16];
      const { model } = await loadShape({ shape, dtype: "bfloat16", ...choice });
      return { model, shape, seqLen, batch };
    },
  };
}
