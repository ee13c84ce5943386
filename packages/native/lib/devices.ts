/** The devices of this machine, opened one after the other. */
import { totalmem } from "node:os";
import { addon } from "./binding.ts";
import { resolveDevice } from "./device.ts";
import { countGpus, NoGpu } from "./gpus.ts";
import { availableMemory } from "./model/available-memory.ts";
import type { Precision } from "./model/precision.ts";

export { countGpus } from "./gpus.ts";

interface DeviceDescription {
  /** `cpu` or `cuda:N`. */
  id: string;
  /** Null where it could not be opened. */
  name: string | null;
  /** Bytes; null where it could not be opened. */
  memory: { free: number; total: number } | null;
  /** Its tag with either dtype, or why it cannot be used so. */
  arithmetic: Record<Precision, { tag: string } | { fault: string }>;
}

export interface DeviceDescriptions {
  /** The CPU, and then every GPU. */
  devices: DeviceDescription[];
  /** Why no GPU is among them, in a line; null where one is. */
  noGpu: string | null;
}

export function describeDevices(): DeviceDescriptions {
  let gpus = 0;
  let noGpu: string | null = null;
  try {
    gpus = countGpus();
  } catch (error) {
    if (!(error instanceof NoGpu)) throw error;
    noGpu = error.isMissed ? `no GPU can be used: ${error.message}` : "no NVIDIA GPU was found";
  }
  const ids = ["cpu", ...Array.from({ length: gpus }, (_, i) => `cuda:${i}`)];
  return { devices: ids.map(describe), noGpu };
}

type Opened = ReturnType<typeof addon.describeDevice>;

function describe(id: string): DeviceDescription {
  const bfloat16 = open(id, "bfloat16");
  const float32 = open(id, "float32");
  const opened = [bfloat16, float32].find((each) => "device" in each);
  return {
    id,
    // "cuda:0 (NVIDIA H100 80GB HBM3)" is told by its id already.
    name: opened ? (/\((.*)\)$/.exec(opened.device)?.[1] ?? opened.device) : null,
    memory: opened ? memoryOf(id, opened) : null,
    arithmetic: { bfloat16: tagOf(bfloat16), float32: tagOf(float32) },
  };
}

function open(id: string, dtype: Precision): Opened | { fault: string } {
  try {
    const device = resolveDevice({ device: id, gpuMemoryUtilization: 1 });
    return addon.describeDevice({ ...device, dtype });
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}

function memoryOf(id: string, { memoryInUse, memoryLeft }: Opened): DeviceDescription["memory"] {
  if (id === "cpu") return { free: availableMemory(), total: totalmem() };
  return { free: memoryLeft, total: memoryLeft + memoryInUse };
}

function tagOf(opened: Opened | { fault: string }): { tag: string } | { fault: string } {
  return "fault" in opened ? opened : { tag: opened.arithmetic };
}
