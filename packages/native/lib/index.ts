/** Loads a model from a Hugging Face directory and runs it: native's implementation of core's port. */
import { join } from "node:path";
import type { ModelInfo, SessionLimits } from "@proofmill/core";
import type { NativeModel } from "./binding.ts";
import { type DeviceChoice, resolveDevice } from "./device.ts";
import { loadNative } from "./load-native.ts";
import { availableMemory } from "./model/available-memory.ts";
import { type OnNotice, parseConfig, readConfig } from "./model/config.ts";
import {
  memoryNeeds,
  PAGE_TOKENS,
  type RunnersTogether,
  refuseTooLarge,
  type SessionsOptions,
  withSessions,
} from "./model/memory.ts";
import type { ModelConfig } from "./model/model-config.ts";
import { PRECISIONS, type Precision } from "./model/precision.ts";
import { refuseUnknown, showAll } from "./model/refusal.ts";
import { readTensors } from "./model/safetensors.ts";
import { locateWeights, needs, unreadTensors } from "./model/weights.ts";
import { longestSequence, PassMemory } from "./pass-memory.ts";
import { NativeRunner } from "./runner.ts";
import { sessionRoom } from "./session-room.ts";

export type { NativeRunner } from "./runner.ts";
export { warmUp } from "./warm-up.ts";

export interface LoadModelOptions extends DeviceChoice {
  /** Holds config.json and safetensors. */
  directory: string;
  /** What config.json holds, for those who have read it. */
  config?: unknown;
  /** Precision of matrix inputs; `auto`: bfloat16 for bf16 models, else float32. */
  dtype?: "auto" | Precision;
  /** Jobs are no longer than so many tokens; as long as the model and the memory allow by default. */
  maxModelLen?: number | undefined;
  /**
   * Bytes that this process may hold: models that need more are refused, and sequences whose passes
   * would. As many as there are by default.
   */
  maxMemory?: number | undefined;
  /** Others that hold the model in the machine's memory: what this one may take is less then. */
  runners?: RunnersTogether | undefined;
  /** Room for token sessions, which take memory and the table of embeddings; none if absent. */
  sessions?: SessionsOptions | undefined;
  /** Hears also of keys of config.json that nobody knows, and of the load. */
  onNotice?: OnNotice;
  /**
   * [1] or more: the first is set to 1 whenever a part of the load, of an operation (on a CPU) or of a
   * pass (on a GPU) was done. Whoever watches sets it back to 0.
   */
  progress?: Int32Array;
  /** Seconds between two lines about a load that takes longer; 5 by default. */
  noticeEvery?: number;
}

const NOTICE_EVERY = 5;
const ALONE: RunnersTogether = { all: 1, toLoad: 1 };

/**
 * Loads a model.
 *
 * @throws Error naming file, tensor and what was expected, when the model cannot be used; with what
 * it needs and what there is, when it does not fit into memory; naming the option, when that cannot
 * be used. A job's promise rejects with code DEVICE_LOST when the device has failed for good.
 *
 * @example
 * const runner = await loadModel({ directory: "models/Qwen3-0.6B" });
 * const { values } = await runner.run({ id: 0, seq_len: 256, input_seeds, output: { kind: "logits" } });
 */
export async function loadModel(options: LoadModelOptions): Promise<NativeRunner> {
  const { directory, dtype: wanted = "auto", onNotice = () => {}, runners = ALONE } = options;
  refuseUnknown("dtype", wanted, ["auto", ...PRECISIONS]);
  const device = resolveDevice(options);
  const read =
    options.config === undefined
      ? await readConfig(directory, onNotice)
      : parseConfig(options.config, join(directory, "config.json"), onNotice);
  const config = withSessions(read, options.sessions);
  const maxModelLen = checkedMaxModelLen(options.maxModelLen, config);
  const stored = await readTensors(directory, needs(config));
  const tensors = locateWeights(config, stored);
  const unread = unreadTensors(config, stored.names);
  if (unread.length > 0) {
    const text = `the model holds tensors that ${config.architecture} does not read: ${showAll(unread)}`;
    onNotice(text, "warn");
  }
  const isStoredBf16 = tensors["model.layers.0.self_attn.q_proj.weight"]?.dtype === "BF16";
  const dtype = wanted !== "auto" ? wanted : isStoredBf16 ? "bfloat16" : "float32";
  const { maxMemory = Number.POSITIVE_INFINITY } = options;
  if (!device.cuda) {
    const { sessions } = options;
    refuseTooLarge({ directory, config: read, dtype, copies: runners.toLoad, maxMemory, sessions });
  }
  const told = new LoadProgress(options, config.num_hidden_layers);
  const model = await loadNative(
    { config, tensors, dtype, device, progress: options.progress },
    (layers) => told.tell(layers),
  );
  told.end(memoryNeeds(config, dtype).weights);
  try {
    return runnerOf(model, { ...options, config, dtype, maxModelLen });
  } catch (error) {
    await model.close();
    throw error;
  }
}

interface RunnerOptions extends Omit<LoadModelOptions, "config"> {
  config: ModelConfig;
  dtype: Precision;
  maxModelLen: number;
}

/** Divides the memory that a loaded model has left. @throws RangeError where it is too little */
function runnerOf(model: NativeModel, options: RunnerOptions): NativeRunner {
  const { config, dtype, maxModelLen, onNotice, runners = ALONE } = options;
  const { maxMemory = Number.POSITIVE_INFINITY } = options;
  // Those that load later need theirs too, and each of them may be given a long sequence.
  const { total } = memoryNeeds(config, dtype, options.sessions);
  const spare = Math.max(0, availableMemory() - (runners.toLoad - 1) * total);
  const left = Math.min(spare / runners.all, maxMemory - process.memoryUsage.rss());
  const room =
    options.sessions && sessionRoom(model, config, { ...options.sessions, maxModelLen, left });
  const longest = longestSequence(model, left, room?.bytes);
  if (longest < maxModelLen) {
    onNotice?.(
      `sequences of up to ${longest} tokens fit into memory, ${maxModelLen} were asked for or are the model's context`,
      "info",
    );
  }
  const info: ModelInfo = {
    arithmetic: model.arithmetic,
    architecture: config.architecture,
    device: model.device,
    dtype,
    hidden_size: config.hidden_size,
    vocab_size: config.vocab_size,
    num_hidden_layers: config.num_hidden_layers,
    max_position_embeddings: config.max_position_embeddings,
    max_seq_len: Math.min(longest, maxModelLen),
    preferred_tokens: model.preferredTokens,
  };
  let sessions: SessionLimits | null = null;
  if (room) {
    const limits = { ...room.limits, max_len: Math.min(room.limits.max_len, info.max_seq_len) };
    model.openSessions(limits);
    sessions = {
      max_len: limits.max_len,
      max_sessions: limits.max_sessions,
      kv_cache_tokens: limits.pages * PAGE_TOKENS,
    };
  }
  const memory = Number.isFinite(model.memoryLeft()) ? null : new PassMemory(model);
  return new NativeRunner(model, info, { memory, sessions });
}

function checkedMaxModelLen(asked: number | undefined, config: ModelConfig): number {
  const context = config.max_position_embeddings;
  const maxModelLen = asked ?? context;
  if (Number.isInteger(maxModelLen) && maxModelLen >= 1 && maxModelLen <= context) {
    return maxModelLen;
  }
  throw new RangeError(
    `maxModelLen is ${maxModelLen}, expected 1 … ${context}, the model's context`,
  );
}

/** Says how far a load is, and at its end how fast it was. */
class LoadProgress {
  readonly #onNotice: OnNotice | undefined;
  /** Seconds. */
  readonly #every: number;
  readonly #layers: number;
  readonly #started = performance.now();
  #said = 0;

  constructor({ onNotice, noticeEvery = NOTICE_EVERY }: LoadModelOptions, layers: number) {
    this.#onNotice = onNotice;
    this.#every = noticeEvery;
    this.#layers = layers;
  }

  tell(layers: number): void {
    const seconds = this.#seconds();
    if (seconds - this.#said < this.#every) return;
    this.#said = seconds;
    this.#onNotice?.(
      `${layers} of ${this.#layers} layers loaded in ${seconds.toFixed(1)} s`,
      "info",
    );
  }

  /** @param bytes of weights */
  end(bytes: number): void {
    const seconds = this.#seconds();
    const gigabytes = bytes / 1e9;
    this.#onNotice?.(
      `${gigabytes.toFixed(3)} GB of weights loaded in ${seconds.toFixed(2)} s, ` +
        `${(gigabytes / seconds).toFixed(2)} GB/s`,
      "info",
    );
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}
