/**
 * The CUDA backend without a GPU: the same source on an emulation of CUDA (packages/native/test/
 * cuda_emulated), which is built here when a test first wants it.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { LoadModelOptions } from "@proofmill/native";
import { buildNativeTarget, NATIVE_BUILD } from "../native-target.ts";

/** Built by `emulatedCuda`. */
export const EMULATED_LIBRARY = `${NATIVE_BUILD}/Release/libproofmill_cuda_emulated.so`;

/** Why it cannot be built here; null: it can. */
export const notEmulated =
  process.platform === "linux" && process.arch === "x64"
    ? null
    : "CUDA is emulated on x86-64 Linux alone";

/** Load options for it; none where it cannot be built. */
export function emulatedCuda(): Pick<LoadModelOptions, "device" | "cudaLibrary">[] {
  if (notEmulated) return [];
  buildNativeTarget("proofmill_cuda_emulated");
  // The same library also plays cuBLASLt.
  process.env.PROOFMILL_CUBLASLT = EMULATED_LIBRARY;
  return [{ device: "cuda", cudaLibrary: EMULATED_LIBRARY }];
}

/** What `cuda-child.mjs` printed, in an environment with these variables beside our own. */
export function runChild(directory: string, environment: Record<string, string>) {
  const child = fileURLToPath(new URL("./cuda-child.mjs", import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [child, directory, EMULATED_LIBRARY], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  const outcomes: (number[] | { message: string; code?: string })[] = JSON.parse(stdout);
  return { outcomes, stderr };
}
