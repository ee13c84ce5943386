/** Sizes of well-known models, for benches: how fast they are depends on nothing else. */
import { parseConfig } from "./config.ts";
import { attentionWidths, type ModelConfig } from "./model-config.ts";

const QWEN3 = {
  architectures: ["Qwen3ForCausalLM"],
  hidden_act: "silu",
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  max_position_embeddings: 40_960,
  head_dim: 128,
  vocab_size: 151_936,
  tie_word_embeddings: true,
};

const FILES: Record<string, Readonly<Record<string, unknown>>> = {
  "qwen3-0.6b": {
    ...QWEN3,
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
  },
  "qwen3-8b": {
    ...QWEN3,
    hidden_size: 4096,
    intermediate_size: 12_288,
    num_hidden_layers: 36,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    tie_word_embeddings: false,
  },
  /** The demo model's. */
  "qwen3-tiny": {
    ...QWEN3,
    hidden_size: 256,
    intermediate_size: 768,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 64,
    vocab_size: 1024,
    max_position_embeddings: 4096,
  },
  "llama-3.2-1b": {
    architectures: ["LlamaForCausalLM"],
    hidden_act: "silu",
    rms_norm_eps: 1e-5,
    rope_theta: 500_000,
    rope_scaling: {
      rope_type: "llama3",
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    max_position_embeddings: 131_072,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: 128_256,
    tie_word_embeddings: true,
  },
};

/** Names that `shapeConfig` knows. */
export const SHAPES: readonly string[] = Object.keys(FILES);

/**
 * What a config.json says of a shape.
 *
 * @throws Error naming the shapes there are
 */
export function shapeFile(shape: string): Readonly<Record<string, unknown>> {
  const file = FILES[shape];
  if (!file) throw new Error(`shape ${shape} is unknown, expected one of ${SHAPES.join(", ")}`);
  return file;
}

/**
 * The configuration of a shape.
 *
 * @throws Error as `shapeFile`
 */
export function shapeConfig(shape: string): ModelConfig {
  return parseConfig(shapeFile(shape), shape);
}

/**
 * Floating-point operations of one nonce, a multiply-add being two: every position through every
 * layer but the last, there only keys and values; the last position through all of it and the head.
 */
export function flopsPerNonce(config: ModelConfig, seqLen: number): number {
  const { hidden_size: hidden, num_hidden_layers: layers } = config;
  const { q, kv } = attentionWidths(config);
  const keysAndValues = 2 * kv * hidden;
  const rest = 2 * q * hidden + 3 * hidden * config.intermediate_size;
  const products =
    (layers - 1) * seqLen * (keysAndValues + rest) +
    seqLen * keysAndValues +
    rest +
    config.vocab_size * hidden;
  // A position looks at itself and all before it: scores and mixed values.
  const pairs = ((layers - 1) * seqLen * (seqLen + 1)) / 2 + seqLen;
  return 2 * (products + 2 * q * pairs);
}
