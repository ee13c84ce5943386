/** The typed face of the addon, and the only place that loads it. */
import { createRequire } from "node:module";
import type {
  PrefillJob,
  PrefillResult,
  Sampling,
  SessionStats,
  SessionToken,
  TokenSession,
} from "@proofmill/core";
import type { ModelNeeds } from "./model/memory.ts";
import type { ModelConfig } from "./model/model-config.ts";
import type { Precision } from "./model/precision.ts";
import type { TensorLocation } from "./model/weights.ts";

/** A model's sizes; what its name and RoPE's parameters decide is here in numbers. */
interface NativeConfig extends Omit<ModelConfig, "architecture" | "rope_theta" | "rope_scaling"> {
  /** [head_dim / 2] radians per position, scaling applied. */
  rope_inv_freq: Float64Array;
}

/** A tensor whose values are drawn in memory, for benches. */
interface RandomTensor {
  dtype: "BF16";
  shape: number[];
  /** uint32 */
  seed: number;
}

/**
 * A number for each stage of the forward pass; a norm belongs to what follows it, but to `reflect`
 * where it reflects. `readout` is what is made of the last position after the head: its distance or
 * artifact.
 */
export interface Stages {
  inputs: number;
  qkv: number;
  attention: number;
  o: number;
  mlp: number;
  reflect: number;
  head: number;
  readout: number;
}

export interface NativeModelOptions extends DeviceOptions {
  config: NativeConfig;
  /** What the model holds, of which a device that is opened knows how much it has. */
  needs: ModelNeeds;
  /** The most that goes through the model together on a CPU; a GPU knows its own. */
  cpuPass: { tokens: number; sequences: number };
  /** By Hugging Face name. */
  tensors: Record<string, TensorLocation | RandomTensor>;
  /** As LoadModelOptions.progress. */
  progress?: Int32Array | undefined;
}

export interface DeviceOptions {
  dtype: Precision;
  /** 1 … 1024 */
  threads: number;
  /** One of `isas()`; the best of them if absent. */
  isa?: string | undefined;
  /** Runs on a GPU instead; `isa` means nothing then, and `threads` choose tokens alone. */
  cuda?: CudaOptions | undefined;
}

export interface CudaOptions {
  /** Path of libproofmill_cuda.so. */
  library: string;
  /** As CUDA numbers them. */
  device: number;
  /** Share of the GPU's memory that may be in use, by anyone, once the model is loaded; (0, 1]. */
  memoryUtilization: number;
}

/** One operation of a device beside the CPU's. */
export interface OperationCheck {
  operation: string;
  shape: string;
  /** The greatest difference in shares of the values' root mean square; for a permutation, how many differ. */
  error: number;
  allowed: number;
  holds: boolean;
}

/** What token sessions take of memory, and how they share a step. */
export interface NativeSessionLimits {
  /** Of the cache: each holds `PAGE_TOKENS` tokens. */
  pages: number;
  /** 1 … step_rows. */
  max_sessions: number;
  /** 2 … pages · PAGE_TOKENS. */
  max_len: number;
  /** Tokens of all sessions that go through the model together. */
  step_rows: number;
}

/** A session as the addon takes it: what is no number or array stands in arrays. */
interface NativeSession extends Omit<TokenSession, "sampling"> {
  sampling: Omit<Sampling, "seed" | "logit_bias"> & {
    /** [2] the lower half, the upper half. */
    seed: Uint32Array;
    biased_tokens: Uint32Array;
    /** [biased_tokens] */
    biases: Float32Array;
  };
}

export interface NativeSessionEvent {
  session: number;
  token?: SessionToken;
  /** With it the session has ended. */
  finish?: "stop" | "length" | "cancelled" | "failed";
  cached_tokens?: number;
  error?: string;
  device_lost?: boolean;
}

export interface NativeModel {
  readonly arithmetic: string;
  readonly device: string;
  /** As ModelInfo.preferred_tokens. */
  readonly preferredTokens: number;
  /** Tokens of all sessions that a step should have at most, on this device; at least `STEP_ROWS`. */
  readonly stepRows: number;
  /** Bytes that a step's operations take for themselves, beside its activations and the cache. */
  readonly stepScratchBytes: number;
  /** The greatest seq_len: the context, as far as inputs can be numbered. */
  readonly longest: number;
  /** Rejects with code DEVICE_LOST when the device has failed for good. */
  run(job: PrefillJob): Promise<PrefillResult>;
  cancel(id: number): void;
  /** [vocab_size]: the plain forward pass, one thread, sums in double. Slow; the tests' oracle. */
  referenceLogits(seqLen: number, inputSeed: number): Float32Array;
  /** [batch, k_dim] of a job for artifacts: the same, also in what follows the forward pass. */
  referenceArtifacts(job: PrefillJob): Float32Array;
  /** Seconds spent in each stage since load; throws while a job runs. */
  stageSeconds(): Stages;
  /** A GPU tells stages apart only while this is on, and is slower then; throws while a job runs. */
  timeStages(on: boolean): void;
  /**
   * Operations per second that matrix products can reach here at best, measured in about a second: a
   * CPU's multiply-adds in registers, a GPU's own library on large matrices. Throws while a job runs.
   */
  peakFlops(): number;
  /**
   * Bytes per second at which the device reads memory that no cache holds: half a GiB on a CPU, in
   * about half a second; up to a GiB on a GPU. Throws while a job runs.
   */
  readBandwidth(): number;
  /** Bytes of a GPU's memory in use, by anyone; 0 on the CPU. Throws while a job runs. */
  memoryInUse(): number;
  /** Bytes of a GPU's memory that may still be taken; infinite on the CPU. Throws while a job runs. */
  memoryLeft(): number;
  /** Bytes that passes at this length take beside the weights. */
  passBytes(seqLen: number): number;
  /** Bytes that keys and values of `PAGE_TOKENS` tokens take. */
  pageBytes(): number;
  /** Takes memory for token sessions. To be called once, before any; throws while a job runs. */
  openSessions(limits: NativeSessionLimits): void;
  /** Throws where the session is not possible; what becomes of it the listener hears. */
  openSession(session: NativeSession): void;
  cancelSession(id: number): void;
  /** Calls `listener` after each step, maybe with nothing. */
  onSessionEvents(listener: (events: NativeSessionEvent[]) => void): void;
  sessionStats(): SessionStats;
  close(): Promise<void>;
}

/** Seeds are uint32, `n` is at most 2²⁸. */
interface Addon {
  /**
   * Maps the files and packs every weight; rejects with what is wrong with which tensor. `onLayer`
   * hears how many layers are packed, not of every one when they follow each other fast.
   */
  loadModel(options: NativeModelOptions, onLayer?: (layers: number) => void): Promise<NativeModel>;
  /** Every operation of a device on ragged shapes beside the CPU's. */
  compareOperations(options: DeviceOptions): Promise<OperationCheck[]>;
  /** Opens a device and says what it is; throws where it cannot be used. Memory as NativeModel's. */
  describeDevice(options: DeviceOptions): {
    device: string;
    arithmetic: string;
    memoryInUse: number;
    memoryLeft: number;
  };
  hash(seed: number, n: number): Uint32Array;
  uniform(seed: number, n: number): Float32Array;
  /** With several seeds n numbers in as many streams, as a nonce's inputs are (ports.ts). */
  normal(seeds: number | Uint32Array, n: number): Float32Array;
  /** Normals rounded to `dtype` and widened again. */
  inputs(seed: number, n: number, dtype: Precision, isa?: string): Float32Array;
  /** Indices in ascending order of their hash. */
  permutation(seed: number, n: number): Uint32Array;
  /** Normals divided by their L2 norm. */
  target(seed: number, n: number): Float32Array;
  distance(logits: Float32Array, permutationSeed: number, targetSeed: number): number;
  /** The same by its definition: a sort, and the norm of a difference. */
  distanceReference(logits: Float32Array, permutationSeed: number, targetSeed: number): number;
  /** The k of n indices that an artifact is made of, in its order. */
  picks(seed: number, n: number, k: number): Uint32Array;
  /** [k] of the last hidden state; k is one more than there are rotation seeds. */
  artifact(hidden: Float32Array, pickSeed: number, rotationSeeds: Uint32Array): Float32Array;
  /** The same by its definition. */
  artifactReference(
    hidden: Float32Array,
    pickSeed: number,
    rotationSeeds: Uint32Array,
  ): Float32Array;
  ln(x: Float32Array): Float32Array;
  sin(x: Float32Array): Float32Array;
  cos(x: Float32Array): Float32Array;
  /** How many GPUs the library at this path can use, ≥ 1; throws, in one line, why there is none. */
  cudaDeviceCount(library: string): number;
  /** Instruction sets of this build that this CPU can run, best first. */
  isas(): string[];
  /**
   * From now on the kernel ends this process when the thread that started it ends, also while it is
   * stopped; at once, where that thread's process is not `parent`. Linux alone can; nothing happens
   * elsewhere.
   */
  endWithParent(parent: number): void;
}

export const addon: Addon = load();

function load(): Addon {
  try {
    // The same path from lib/ and from dist/.
    return createRequire(import.meta.url)("../build/Release/proofmill.node");
  } catch (cause) {
    const reason = (cause as Error).message.split("\n", 1)[0];
    throw new Error(`The native addon cannot be loaded; npm run build makes it: ${reason}`, {
      cause,
    });
  }
}
