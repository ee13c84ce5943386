/**
 * The model runner: whatever holds a loaded model and runs its prefill.
 *
 * It knows seeds, tensors and devices, never hashes, keys or rounds. Everything that crosses this
 * interface survives a structured clone, because a runner lives in a process of its own.
 */

/** What a runner says of itself once its model is loaded. */
export interface ModelInfo {
  /** Changes whenever the bits of a result can (docs/protocol.md §1), e.g. `cpu-fma-bf16-3`. */
  readonly arithmetic: string;
  /** Hugging Face architecture name, e.g. `Qwen3ForCausalLM`. */
  readonly architecture: string;
  /** Human-readable device, e.g. `cpu (AVX2, 2 threads)`. */
  readonly device: string;
  /** Precision of the inputs of matrix products. */
  readonly dtype: "bfloat16" | "float32";
  readonly hidden_size: number;
  readonly vocab_size: number;
  readonly num_hidden_layers: number;
  /**
   * What it computed of two short nonces before it took work: equal for equal weights and arithmetic,
   * and so what tells a model from another of its name and size. Absent where none were computed.
   */
  readonly warm_up?: string;
  /** The model's context. */
  readonly max_position_embeddings: number;
  /** The greatest `seq_len` of a job: the context, or less where memory or the operator allow less. */
  readonly max_seq_len: number;
  /**
   * Positions that the runner computes together, over all nonces of a job: jobs of
   * `preferred_tokens / seq_len` nonces, or a multiple, suit it best. On a GPU a smaller one takes as
   * long.
   */
  readonly preferred_tokens: number;
}

/** What a job gives back for each of its nonces. */
export type PrefillOutput =
  | {
      /** One number in [0, 2]: docs/protocol.md §1, steps 6 to 9. NaN where it is not finite. */
      readonly kind: "distance";
      /** [batch] */
      readonly permutation_seeds: Uint32Array;
      readonly target_seed: number;
    }
  | {
      /** [k_dim] numbers: docs/protocol-v2.md §1, steps 4 to 7. All NaN where one is not finite. */
      readonly kind: "artifact";
      /** 1 … hidden_size */
      readonly k_dim: number;
      /** [num_hidden_layers]; jobs of one round have the same, and its vectors are made once. */
      readonly layer_seeds: Uint32Array;
      /** [batch] */
      readonly pick_seeds: Uint32Array;
      /** [batch, k_dim − 1] */
      readonly rotation_seeds: Uint32Array;
    }
  /** [vocab_size] logits of the last position. */
  | { readonly kind: "logits" }
  /** [hidden_size] last position after the final norm. */
  | { readonly kind: "hidden" };

/** One batch of nonces through the model. */
export interface PrefillJob {
  /** Unique among the jobs that this runner has not answered yet; an integer ≥ 0. */
  readonly id: number;
  /** 1 … `max_seq_len`. */
  readonly seq_len: number;
  /** [batch, input_streams], batch ≥ 1. */
  readonly input_seeds: Uint32Array;
  /**
   * Streams that a nonce's inputs are drawn in, each under a seed of its own: 1, which is the
   * default, or 8 for the stronger generator (docs/protocol-v2.md §1, step 8).
   */
  readonly input_streams?: 1 | 8;
  readonly output: PrefillOutput;
}

/** Nonces of a job. */
export function batchOf(job: Pick<PrefillJob, "input_seeds" | "input_streams">): number {
  return job.input_seeds.length / (job.input_streams ?? 1);
}

export interface PrefillResult {
  /** How many of the job's nonces, from the first on, are finished: all but after a cancel. */
  readonly completed: number;
  /** [completed, 1 | k_dim | vocab_size | hidden_size] */
  readonly values: Float32Array;
}

/**
 * Runs jobs in the order in which they were given, one at a time.
 *
 * `run` rejects with `RunnerLost` when the runner is gone, and with an ordinary Error when the job
 * itself was at fault. A promise is never left pending.
 */
export interface ModelRunner {
  readonly info: ModelInfo;
  run(job: PrefillJob): Promise<PrefillResult>;
  /**
   * Cuts the job: within a second, whatever its length, its promise resolves with what is finished.
   * Does nothing for an id that it does not know; never throws.
   */
  cancel(id: number): void;
  /** Cuts every job and frees the model. Idempotent. */
  close(): Promise<void>;
}

/** The process or device behind a runner is gone: this job is lost, and every later one will be. */
export class RunnerLost extends Error {
  override readonly name = "RunnerLost";
}
