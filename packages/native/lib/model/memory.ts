/** What a model takes of memory, by its config alone, and whether this machine has as much. */
import { join } from "node:path";
import { availableMemory } from "./available-memory.ts";
import { parseConfig } from "./config.ts";
import { attentionWidths, type ModelConfig } from "./model-config.ts";
import { nvidiaGpu } from "./nvidia-gpu.ts";
import type { Precision } from "./precision.ts";
import { requiredTensors } from "./weights.ts";

/** Sequences of this length fit wherever a model loads. */
export const USUAL_LENGTH = 256;

/**
 * What goes through the model together on a CPU: at most so many tokens, or one sequence, for more
 * at once make products no faster; and at most so many sequences, for the logits of all of them are
 * held at once.
 */
export const CPU_PASS = { tokens: 1024, sequences: 128 };

/** What an artifact of 12 numbers takes: these, and the seeds of inputs, picks and rotations. */
const ARTIFACT_NUMBERS = 12 + 8 + 1 + 11;

/** Tokens whose keys and values lie in one page, as in C++. */
export const PAGE_TOKENS = 64;

/**
 * Tokens of all sessions that go through the model in a step on a CPU, as in C++: so many make
 * products nearly as fast as a search's, and a step takes no longer than those who wait for their
 * next token can bear. Other devices take as many or more.
 */
export const STEP_ROWS = 256;

const FLOAT_BYTES = 4;
/** Code, heap, the kernels' scratch and the permutations: 60 to 90 MiB were measured. */
const PROCESS_BYTES = 128 * 2 ** 20;

/** Numbers that are held in the precision of matrix inputs, and in float32. */
interface Footprint {
  elements: number;
  floats: number;
}

/** What a model holds, on whatever device. */
export interface ModelNeeds {
  weights: Footprint;
  /** For each token that is on its way through the layers. */
  token: Footprint;
  /** For each sequence of a pass: its last position and what is made of it. */
  sequence: Footprint;
  /** For each position of the longest sequence: RoPE's cosines and sines. */
  position: Footprint;
  /** Whatever the passes: the vectors of a round that reflects (docs/protocol-v2.md §1, step 4). */
  round: Footprint;
  /** A model is refused unless passes of sequences of this length will fit, in tokens. */
  usual_length: number;
}

export function modelNeeds(config: ModelConfig): ModelNeeds {
  const { hidden_size: hidden, intermediate_size, vocab_size, head_dim } = config;
  const { q, kv } = attentionWidths(config);
  const weights = { elements: 0, floats: 0 };
  for (const [rows = 0, columns] of requiredTensors(config).values()) {
    if (columns === undefined) weights.floats += rows;
    else weights.elements += rows * columns;
  }
  return {
    weights,
    token: { elements: hidden + 2 * q + 2 * kv + intermediate_size, floats: hidden },
    // The last position, its logits, and the seeds and numbers of a distance or of an artifact.
    sequence: { elements: q, floats: hidden + vocab_size + ARTIFACT_NUMBERS },
    position: { elements: 0, floats: head_dim },
    round: { elements: 0, floats: config.num_hidden_layers * hidden },
    usual_length: USUAL_LENGTH,
  };
}

interface MemoryNeeds {
  /** Bytes of the packed weights. */
  weights: number;
  /** Bytes of all: weights, the activations of a search at usual lengths, the process. */
  total: number;
}

/** Room for token sessions, as it is asked for. */
export interface SessionsOptions {
  /** Bytes of the cache of keys and values; by default what sessions can use, up to a share of what is left. */
  kvCacheMemory?: number | undefined;
  /** Sessions that run at once, 1 … `STEP_ROWS`; `DEFAULT_SESSIONS` by default. */
  maxNumSeqs?: number;
}

export const DEFAULT_SESSIONS = 16;

/** Bytes that sessions take besides their cache: a step's activations and logits. */
export function stepBytes(config: ModelConfig, sessions: number, rows = STEP_ROWS): number {
  const { token, sequence } = modelNeeds(config);
  return (
    FLOAT_BYTES * rows * (token.elements + token.floats) +
    FLOAT_BYTES * sessions * (sequence.elements + sequence.floats + config.vocab_size)
  );
}

/** Keys that a GPU takes together in attention over pages, as in C++ (paged_chunks.cuh). */
const CHUNK_KEYS = 512;

/**
 * Bytes that a GPU takes for decoding tokens whose keys are shared out among its multiprocessors:
 * a result for each chunk and head. They grow in powers of 2.
 */
export function chunkBytes(config: ModelConfig, sessions: number, longest: number): number {
  const chunks = Math.ceil(longest / CHUNK_KEYS);
  const { num_attention_heads, head_dim } = config;
  return 2 * FLOAT_BYTES * sessions * chunks * num_attention_heads * (head_dim + 2);
}

/**
 * What a model takes on a CPU; its files are mapped and need no memory of their own.
 *
 * @param sessions of a cache that has no size of its own nothing is counted: it takes what is left
 */
export function memoryNeeds(
  config: ModelConfig,
  dtype: Precision,
  sessions?: SessionsOptions,
): MemoryNeeds {
  const needs = modelNeeds(config);
  const itemBytes = dtype === "bfloat16" ? 2 : FLOAT_BYTES;
  const weights = needs.weights.elements * itemBytes + needs.weights.floats * FLOAT_BYTES;
  // Some instruction sets keep activations in float32, rounded.
  const bytes = ({ elements, floats }: Footprint) => (elements + floats) * FLOAT_BYTES;
  const activations =
    CPU_PASS.tokens * bytes(needs.token) +
    CPU_PASS.sequences * bytes(needs.sequence) +
    USUAL_LENGTH * bytes(needs.position) +
    bytes(needs.round);
  const { kvCacheMemory = 0, maxNumSeqs = DEFAULT_SESSIONS } = sessions ?? {};
  const inference = sessions ? kvCacheMemory + stepBytes(config, maxNumSeqs) : 0;
  return { weights, total: weights + activations + inference + PROCESS_BYTES };
}

/** Runners that hold a model in this machine's memory, each for itself. */
export interface RunnersTogether {
  all: number;
  /** How many have still to load it, ≥ 1 where one of them asks. */
  toLoad: number;
}

/** The model as its sessions need it: with the table of embeddings, which a search does not read. */
export function withSessions(config: ModelConfig, sessions?: SessionsOptions): ModelConfig {
  return sessions ? { ...config, embeds_tokens: true } : config;
}

/** @throws Error with both numbers, when a model does not fit */
export function refuseTooLarge(options: {
  directory: string;
  config: ModelConfig;
  dtype: Precision;
  /** How often it will be loaded, each time into memory of its own; once by default. */
  copies?: number;
  /** Bytes; what there is by default. */
  available?: number;
  /** Bytes that the process may hold; as many as there are by default. */
  maxMemory?: number | undefined;
  /** Room for token sessions; none if absent. */
  sessions?: SessionsOptions | undefined;
}): void {
  const { directory, dtype, copies = 1, available = availableMemory(), sessions } = options;
  const { maxMemory = Number.POSITIVE_INFINITY } = options;
  const config = withSessions(options.config, sessions);
  const { weights, total } = memoryNeeds(config, dtype, sessions);
  const most = Math.min(available, copies * maxMemory);
  if (copies * total <= most) return;
  const asBf16 = copies * memoryNeeds(config, "bfloat16", sessions).total;
  const proofsAlone = copies * memoryNeeds(options.config, dtype).total;
  const isForbidden = copies * total <= available;
  const times = copies === 1 ? "" : `${copies} times `;
  const advice =
    dtype !== "bfloat16" && asBf16 <= most
      ? `--dtype bfloat16 needs ${sizeText(asBf16)}`
      : sessions && proofsAlone <= most
        ? `--no-inference needs ${sizeText(proofsAlone)}, a smaller --kv-cache-memory less`
        : isForbidden
          ? "allow more or choose a smaller model"
          : copies > 1
            ? "choose fewer devices, a smaller model or a machine with more"
            : "choose a smaller model or a machine with more";
  throw new Error(
    `${directory}: needs ${times}${sizeText(total)} of memory (${sizeText(weights)} of weights in ${dtype}), ` +
      `${isForbidden ? `--runner-max-memory allows ${sizeText(maxMemory)}` : `${sizeText(available)} are available`}` +
      `; ${advice}`,
  );
}

/**
 * What `loadModel` would refuse by config.json alone: an unknown architecture, or one too large
 * for this machine even in the least precision that is asked for. What fits into a GPU is known only
 * when it is opened.
 *
 * @param json the parsed config.json
 * @throws Error as `loadModel`
 */
export function checkConfig(
  json: unknown,
  options: {
    directory: string;
    dtype: "auto" | Precision;
    device: string;
    copies?: number;
    maxMemory?: number | undefined;
    sessions?: SessionsOptions | undefined;
  },
): void {
  const { directory, dtype, device, copies = 1, maxMemory, sessions } = options;
  const config = parseConfig(json, join(directory, "config.json"));
  if (device.startsWith("cuda") || (device === "auto" && nvidiaGpu() === "given")) return;
  const least = dtype === "auto" ? "bfloat16" : dtype;
  refuseTooLarge({ directory, config, copies, dtype: least, maxMemory, sessions });
}

/** For people: `14.4 GiB`, or where that would say next to nothing `12.5 MiB`. */
export function sizeText(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib < 0.1 ? `${(gib * 1024).toFixed(1)} MiB` : `${gib.toFixed(1)} GiB`;
}
