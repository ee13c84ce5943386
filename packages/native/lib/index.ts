/** Loads a model from a Hugging Face directory and runs it: native's implementation of core's port. */
import { availableParallelism } from "node:os";
import type { ModelInfo, ModelRunner, PrefillJob, PrefillResult } from "@proofmill/core";
import { addon, type NativeModel, type Precision } from "./binding.ts";
import { type DeviceChoice, resolveDevice } from "./device.ts";
import { checkJob } from "./job.ts";
import { availableMemory } from "./model/available-memory.ts";
import { type ModelConfig, type OnNotice, readConfig } from "./model/config.ts";
import { gib, longestSequence, memoryNeeds, refuseTooLarge } from "./model/memory.ts";
import { showAll } from "./model/refusal.ts";
import { ropeInvFreq } from "./model/rope.ts";
import { readTensors } from "./model/safetensors.ts";
import { locateWeights, needs, unreadTensors } from "./model/weights.ts";

export type { ModelRunner } from "@proofmill/core";
export type { ModelConfig, OnNotice } from "./model/config.ts";

export interface LoadModelOptions extends DeviceChoice {
  /** Holds config.json and safetensors. */
  directory: string;
  /** Precision of matrix inputs; `auto`: bfloat16 for bf16 models, else float32. */
  dtype?: "auto" | Precision;
  /** Jobs are no longer than so many tokens; as long as the model and the memory allow by default. */
  maxModelLen?: number;
  /** Threads of a search on the CPU, 1 … 1024; as many as there are cores by default. */
  threads?: number;
  /**
   * Forces an instruction set, one of the addon's `isas()`; by default what the environment's
   * `PROOFMILL_ISA` names, else the best.
   */
  isa?: string;
  /** Hears of the device's choice, of keys of config.json that nobody knows, of the load. */
  onNotice?: OnNotice;
  /** Seconds between two lines about a load that takes longer; 5 by default. */
  noticeEvery?: number;
}

const MAX_THREADS = 1024;
const NOTICE_EVERY = 5;

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
export async function loadModel(options: LoadModelOptions): Promise<ModelRunner> {
  const { directory, dtype: wanted = "auto" } = options;
  const isa = options.isa ?? (process.env.PROOFMILL_ISA || undefined);
  const threads = options.threads ?? Math.min(availableParallelism(), MAX_THREADS);
  checkOneOf("dtype", wanted, ["auto", "bfloat16", "float32"]);
  if (isa !== undefined) checkOneOf("isa", isa, addon.isas());
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new RangeError(`threads is ${threads}, expected 1 … ${MAX_THREADS}`);
  }
  const { cuda, notice } = resolveDevice(options);
  if (notice) options.onNotice?.(notice, "info");
  const config = await readConfig(directory, options.onNotice);
  const context = config.max_position_embeddings;
  const { maxModelLen = context } = options;
  if (!Number.isInteger(maxModelLen) || maxModelLen < 1 || maxModelLen > context) {
    throw new RangeError(
      `maxModelLen is ${maxModelLen}, expected 1 … ${context}, the model's context`,
    );
  }
  const stored = await readTensors(directory, needs(config));
  const tensors = locateWeights(config, stored);
  const unread = unreadTensors(config, stored.names);
  if (unread.length > 0) {
    const text = `the model holds tensors that ${config.architecture} does not read: ${showAll(unread)}`;
    options.onNotice?.(text, "warn");
  }
  const isStoredBf16 = tensors["model.layers.0.self_attn.q_proj.weight"]?.dtype === "BF16";
  const dtype = wanted !== "auto" ? wanted : isStoredBf16 ? "bfloat16" : "float32";
  if (!cuda) refuseTooLarge({ directory, config, dtype });
  const rope_inv_freq = ropeInvFreq(config.head_dim, config.rope_theta, config.rope_scaling);
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  let noticed = 0;
  const model = await addon.loadModel(
    {
      config: { ...config, rope_inv_freq },
      tensors,
      dtype,
      threads,
      ...(isa === undefined ? {} : { isa }),
      ...(cuda ? { cuda } : {}),
    },
    (layers) => {
      if (elapsed() - noticed < (options.noticeEvery ?? NOTICE_EVERY)) return;
      noticed = elapsed();
      options.onNotice?.(
        `${layers} of ${config.num_hidden_layers} layers loaded in ${noticed.toFixed(1)} s`,
        "info",
      );
    },
  );
  const seconds = elapsed();
  const gigabytes = memoryNeeds(config, dtype).weights / 1e9;
  options.onNotice?.(
    `${gigabytes.toFixed(3)} GB of weights loaded in ${seconds.toFixed(2)} s, ` +
      `${(gigabytes / seconds).toFixed(2)} GB/s`,
    "info",
  );
  const longest = longestSequence(model);
  if (longest < maxModelLen) {
    options.onNotice?.(
      `sequences of up to ${longest} tokens fit into memory, ${maxModelLen} were asked for or are the model's context`,
      "info",
    );
  }
  return new NativeRunner(model, {
    config,
    dtype,
    maxSeqLen: Math.min(longest, maxModelLen),
    sharesMemory: cuda === null,
  });
}

/** More memory than this is looked for before a job is given it. */
const LARGE_GROWTH = 64 * 2 ** 20;

class NativeRunner implements ModelRunner {
  readonly info: ModelInfo;
  readonly #model: NativeModel;
  /** Whether passes take the machine's memory, for which others compete. */
  readonly #sharesMemory: boolean;
  /** Bytes that the last job's passes take. */
  #held = 0;
  #closed: Promise<void> | null = null;

  constructor(
    model: NativeModel,
    options: { config: ModelConfig; dtype: Precision; maxSeqLen: number; sharesMemory: boolean },
  ) {
    const { config, dtype, maxSeqLen, sharesMemory } = options;
    this.#model = model;
    this.#sharesMemory = sharesMemory;
    this.info = {
      arithmetic: model.arithmetic,
      architecture: config.architecture,
      device: model.device,
      dtype,
      hidden_size: config.hidden_size,
      vocab_size: config.vocab_size,
      num_hidden_layers: config.num_hidden_layers,
      max_position_embeddings: config.max_position_embeddings,
      max_seq_len: maxSeqLen,
      preferred_tokens: model.preferredTokens,
    };
  }

  async run(job: PrefillJob): Promise<PrefillResult> {
    checkJob(job, this.info);
    this.#refuseWithoutMemory(job.seq_len);
    return this.#model.run(job);
  }

  /** What fitted when the model was loaded may be others' now; to be killed is worse than to refuse. */
  #refuseWithoutMemory(seqLen: number): void {
    if (!this.#sharesMemory || this.#closed) return;
    const needed = this.#model.passBytes(seqLen);
    const growth = needed - this.#held;
    if (growth > LARGE_GROWTH) {
      const available = availableMemory();
      if (growth > available) {
        throw new Error(
          `out of memory: a seq_len of ${seqLen} takes ${gib(growth)} more, ${gib(available)} are available`,
        );
      }
    }
    this.#held = needed;
  }

  cancel(id: number): void {
    if (Number.isSafeInteger(id) && id >= 0) this.#model.cancel(id);
  }

  onProgress(listener: (layersDone: number) => void): void {
    this.#model.onProgress(listener);
  }

  close(): Promise<void> {
    this.#closed ??= this.#model.close();
    return this.#closed;
  }
}

function checkOneOf(name: string, value: string, known: readonly string[]): void {
  if (!known.includes(value)) {
    throw new RangeError(
      `${name} is ${JSON.stringify(value)}, expected one of ${known.join(", ")}`,
    );
  }
}
