/** How many GPUs CUDA finds, and why it finds none. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { addon } from "./binding.ts";
import { type NvidiaGpu, nvidiaGpu } from "./model/nvidia-gpu.ts";

/** The same path from lib/ and from dist/. */
const BUILT_LIBRARY = new URL("../build/Release/libproofmill_cuda.so", import.meta.url);
/** What Docker and Podman leave in their containers; Kubernetes leaves a variable. */
const CONTAINER_FILES = ["/.dockerenv", "/run/.containerenv"];

/** No GPU can be used. The message says in a line what was found and what was expected. */
export class NoGpu extends Error {
  override readonly name = "NoGpu";
  /** Whether somebody may count on one: the machine has an NVIDIA GPU, or a library was named. */
  readonly isMissed: boolean;

  constructor(reason: string, isMissed: boolean) {
    super(reason);
    this.isMissed = isMissed;
  }
}

/** Path of the CUDA library that is used unless another is named. */
export function cudaLibraryPath(): string {
  return process.env.PROOFMILL_CUDA_LIBRARY || fileURLToPath(BUILT_LIBRARY);
}

/**
 * How many GPUs there are, ≥ 1.
 *
 * @param library path of libproofmill_cuda.so
 * @throws NoGpu whether the library, the driver or the GPU is missing
 */
export function countGpus(library = cudaLibraryPath()): number {
  const gpu = nvidiaGpu();
  const isMissed = gpu !== "none" || library !== fileURLToPath(BUILT_LIBRARY);
  if (!existsSync(library)) {
    throw new NoGpu(
      `${library} is not there; npm run build makes it where a CUDA compiler (nvcc 12.4 or later) is`,
      isMissed,
    );
  }
  try {
    return addon.cudaDeviceCount(library);
  } catch (error) {
    throw new NoGpu((error as Error).message + adviceFor(gpu), isMissed);
  }
}

function adviceFor(gpu: NvidiaGpu): string {
  if (gpu === "given") return "";
  const { KUBERNETES_SERVICE_HOST } = process.env;
  if (CONTAINER_FILES.some(existsSync) || KUBERNETES_SERVICE_HOST !== undefined) {
    return "; a container gets GPUs by docker's --gpus all, or by nvidia.com/gpu in Kubernetes";
  }
  return gpu === "present" ? "; this machine has an NVIDIA GPU, which needs NVIDIA's driver" : "";
}
