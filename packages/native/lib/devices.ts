/** The devices of this machine, opened one after the other. */
import { totalmem } from "node:os";
import { addon } from "./binding.ts";
import { cudaLibraryPath, resolveDevice } from "./device.ts";
import { availableMemory } from "./model/available-memory.ts";

export interface DeviceDescription {
  /** `cpu` or `cuda:N`. */
  id: string;
  name: string;
  /** Bytes; null where it could not be opened. */
  memory: { free: number; total: number } | null;
  /** Its tag with either dtype, or why it has none. */
  arithmetic: { bfloat16: string; float32: string } | { fault: string };
}

/** How many GPUs there are, ≥ 1. @throws Error, in one line, why there is none */
export function countGpus(): number {
  return addon.cudaDeviceCount(cudaLibraryPath());
}

/** The CPU, and then every GPU. */
export function describeDevices(): DeviceDescription[] {
  let gpus = 0;
  try {
    gpus = countGpus();
  } catch {
    // then there is none to describe
  }
  return ["cpu", ...Array.from({ length: gpus }, (_, i) => `cuda:${i}`)].map(describe);
}

function describe(id: string): DeviceDescription {
  try {
    const device = resolveDevice({ device: id, gpuMemoryUtilization: 1 });
    const float32 = addon.describeDevice({ ...device, dtype: "float32" });
    const bfloat16 = addon.describeDevice({ ...device, dtype: "bfloat16" });
    const free = device.cuda ? bfloat16.memoryLeft : availableMemory();
    return {
      id,
      // "cuda:0 (NVIDIA H100 80GB HBM3)" is told by its id already.
      name: /\((.*)\)$/.exec(bfloat16.device)?.[1] ?? bfloat16.device,
      memory: { free, total: device.cuda ? free + bfloat16.memoryInUse : totalmem() },
      arithmetic: { bfloat16: bfloat16.arithmetic, float32: float32.arithmetic },
    };
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    return { id, name: "cannot be used", memory: null, arithmetic: { fault } };
  }
}
