/** Which device a model runs on, and how. */
import { availableParallelism } from "node:os";
import { addon, type CudaOptions, type DeviceOptions } from "./binding.ts";
import { countGpus, cudaLibraryPath, NoGpu } from "./gpus.ts";
import type { OnNotice } from "./model/config.ts";
import { refuseUnknown } from "./model/refusal.ts";

export interface DeviceChoice {
  /** `auto`: a GPU where there is one, else the CPU. GPUs are numbered as CUDA does; `cuda` is 0. */
  device?: string | undefined;
  /** Share of the GPU's memory that may be in use once the model is loaded, (0, 1]. */
  gpuMemoryUtilization?: number | undefined;
  /**
   * Path of libproofmill_cuda.so; by default what the environment's `PROOFMILL_CUDA_LIBRARY` names,
   * else the one that was built with the addon.
   */
  cudaLibrary?: string | undefined;
  /** Threads on the CPU, 1 … 1024; as many as there are cores by default. */
  threads?: number | undefined;
  /**
   * Forces an instruction set, one of the addon's `isas()`; by default what the environment's
   * `PROOFMILL_ISA` names, else the best.
   */
  isa?: string | undefined;
  /**
   * Is warned, by why, when `auto` takes the CPU though there is an NVIDIA GPU or its driver, or a
   * library was named. On other machines the CPU is what was meant.
   */
  onNotice?: OnNotice | undefined;
}

/** What the addon is told of the device; `cuda` is undefined on the CPU. */
export type ResolvedDevice = Pick<DeviceOptions, "threads" | "isa" | "cuda">;

const MAX_THREADS = 1024;

/** With other values cuBLAS rounds float32, whatever it is asked; it reads them when it is loaded. */
const EXACT_FLOAT32 = { NVIDIA_TF32_OVERRIDE: "0", CUBLAS_EMULATE_SINGLE_PRECISION: "0" };

/**
 * Once a GPU is chosen, this process's environment keeps cuBLAS from rounding float32.
 *
 * @throws RangeError when the choice is none; Error in one line that says whether the library, the
 *   driver or the GPU is missing
 */
export function resolveDevice(choice: DeviceChoice): ResolvedDevice {
  const isa = choice.isa ?? (process.env.PROOFMILL_ISA || undefined);
  const threads = choice.threads ?? Math.min(availableParallelism(), MAX_THREADS);
  if (isa !== undefined) refuseUnknown("isa", isa, addon.isas());
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new RangeError(`threads is ${threads}, expected 1 … ${MAX_THREADS}`);
  }
  return { threads, isa, cuda: resolveGpu(choice) };
}

function resolveGpu(choice: DeviceChoice): CudaOptions | undefined {
  const { device = "auto", gpuMemoryUtilization = 0.9, onNotice } = choice;
  const number = /^(?:auto|cpu|cuda(?::(\d{1,6}))?)$/.exec(device);
  if (!number) {
    throw new RangeError(`device is ${JSON.stringify(device)}, expected auto, cpu, cuda or cuda:N`);
  }
  if (!(gpuMemoryUtilization > 0 && gpuMemoryUtilization <= 1)) {
    throw new RangeError(
      `gpuMemoryUtilization is ${gpuMemoryUtilization}, expected more than 0 and at most 1`,
    );
  }
  if (device === "cpu") return undefined;
  const library = choice.cudaLibrary ?? cudaLibraryPath();
  const cuda = { library, device: Number(number[1] ?? 0), memoryUtilization: gpuMemoryUtilization };
  try {
    checkGpu(cuda);
  } catch (error) {
    const reason = (error as Error).message;
    if (device !== "auto") throw new Error(`device ${device} cannot be used: ${reason}`);
    if (error instanceof NoGpu && error.isMissed) onNotice?.(`no GPU is used: ${reason}`, "warn");
    return undefined;
  }
  Object.assign(process.env, EXACT_FLOAT32);
  return cuda;
}

function checkGpu({ library, device }: CudaOptions): void {
  const count = countGpus(library);
  if (device < count) return;
  const { CUDA_VISIBLE_DEVICES: visible } = process.env;
  const because =
    visible === undefined
      ? ""
      : `; CUDA_VISIBLE_DEVICES is ${JSON.stringify(visible)}, and what it names is numbered from 0`;
  const numbers = count === 1 ? "the only one is GPU 0" : `there are GPUs 0 to ${count - 1}`;
  throw new Error(`GPU ${device} is not there, ${numbers}${because}`);
}
