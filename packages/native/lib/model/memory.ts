/** Whether a model fits into this machine's memory, asked before a weight is read, and how long a sequence. */
import { existsSync } from "node:fs";
import type { NativeModel, Precision } from "../binding.ts";
import { availableMemory } from "./available-memory.ts";
import { type ModelConfig, readConfig } from "./config.ts";
import { requiredTensors } from "./weights.ts";

/** The backend packs matrices in panels of so many rows. */
const PANEL_ROWS = 16;
/** Tokens that share a matrix product, and the most sequences that they are of. */
const MICRO_BATCH_TOKENS = 1024;
const MICRO_BATCH_SEQUENCES = 128;
const FLOAT_BYTES = 4;
/** Code, heap, the kernels' scratch and the permutations: 60 to 90 MiB were measured. */
const PROCESS_BYTES = 128 * 2 ** 20;
/** Sequences of this length fit wherever a model loads. */
const USUAL_LENGTH = 256;
/** Share of the free memory that the longest sequence leaves to the rest of the node and the machine. */
const KEPT_FREE = 1 / 8;

/** There where a driver for NVIDIA's GPUs is, the second on Windows' Linux. */
const GPU_FILES = ["/dev/nvidiactl", "/dev/dxg"];

export interface MemoryNeeds {
  /** Bytes of the packed weights. */
  weights: number;
  /** Bytes of all: weights, the activations of a search at usual lengths, the process. */
  total: number;
}

/** What a model takes once it is loaded; its files are mapped and need no memory of their own. */
export function memoryNeeds(config: ModelConfig, dtype: Precision): MemoryNeeds {
  const itemBytes = dtype === "bfloat16" ? 2 : FLOAT_BYTES;
  let weights = 0;
  for (const [rows = 0, depth] of requiredTensors(config).values()) {
    weights +=
      depth === undefined
        ? rows * FLOAT_BYTES
        : Math.ceil(rows / PANEL_ROWS) * PANEL_ROWS * depth * itemBytes;
  }
  const { hidden_size: hidden, head_dim } = config;
  const q = config.num_attention_heads * head_dim;
  const kv = config.num_key_value_heads * head_dim;
  const activations =
    MICRO_BATCH_TOKENS * (2 * hidden + 2 * q + 2 * kv + config.intermediate_size) +
    MICRO_BATCH_SEQUENCES * (hidden + q + config.vocab_size);
  return { weights, total: weights + activations * FLOAT_BYTES + PROCESS_BYTES };
}

/** What a loaded model says of its memory. */
export type Sized = Pick<NativeModel, "longest" | "passBytes" | "memoryLeft">;

/**
 * Tokens of the longest sequence whose pass fits into the memory that is left now: the GPU's, or
 * this process'.
 *
 * @param available bytes that this process may still take, where that is what counts; what there
 *   is by default
 */
export function longestSequence(model: Sized, available = availableMemory()): number {
  const ofDevice = model.memoryLeft();
  const left = (Number.isFinite(ofDevice) ? ofDevice : available) * (1 - KEPT_FREE);
  let fits = Math.min(USUAL_LENGTH, model.longest);
  let tooLong = model.longest + 1;
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2);
    if (model.passBytes(middle) <= left) fits = middle;
    else tooLong = middle;
  }
  return fits;
}

/** @throws Error with both numbers, when a model does not fit */
export function refuseTooLarge(options: {
  directory: string;
  config: ModelConfig;
  dtype: Precision;
  /** Bytes; what there is by default. */
  available?: number;
}): void {
  const { directory, config, dtype, available = availableMemory() } = options;
  const { weights, total } = memoryNeeds(config, dtype);
  if (total <= available) return;
  const asBf16 = memoryNeeds(config, "bfloat16").total;
  const advice =
    dtype !== "bfloat16" && asBf16 <= available
      ? `--dtype bfloat16 needs ${gib(asBf16)}`
      : "choose a smaller model or a machine with more";
  throw new Error(
    `${directory}: needs ${gib(total)} of memory (${gib(weights)} of weights in ${dtype}), ` +
      `${gib(available)} are available; ${advice}`,
  );
}

/**
 * What `loadModel` would refuse by config.json alone: an unknown architecture, or one too large
 * for this machine even in the least precision that is asked for. What fits into a GPU is known only
 * when it is opened.
 *
 * @throws Error as `loadModel`
 */
export async function checkConfig(
  directory: string,
  { dtype, device }: { dtype: "auto" | Precision; device: string },
): Promise<void> {
  const config = await readConfig(directory);
  if (device.startsWith("cuda") || (device === "auto" && GPU_FILES.some(existsSync))) return;
  refuseTooLarge({ directory, config, dtype: dtype === "auto" ? "bfloat16" : dtype });
}

export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
