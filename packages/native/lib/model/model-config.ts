/** What the forward pass needs to know of a model beside its weights; the names are Hugging Face's. */
import type { Architecture } from "./architecture.ts";
import type { Llama3Scaling } from "./rope.ts";

export interface ModelConfig {
  architecture: Architecture;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  vocab_size: number;
  /** The context: the greatest seq_len. */
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  rope_scaling: Llama3Scaling | null;
  tie_word_embeddings: boolean;
  /** RMSNorm over head_dim on every q and k head. */
  qk_norm: boolean;
  qkv_bias: boolean;
  /** Whoever loads it wants token sessions: embeddings of tokens are read beside an untied head. */
  embeds_tokens?: boolean;
}

/** Numbers in a token's queries, and in its keys or in its values: those of all heads. */
export function attentionWidths(config: ModelConfig): { q: number; kv: number } {
  const { num_attention_heads, num_key_value_heads, head_dim } = config;
  return { q: num_attention_heads * head_dim, kv: num_key_value_heads * head_dim };
}
