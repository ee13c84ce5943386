/** The architectures that the forward pass knows, and what their names alone decide. */

/**
 * By the name in config.json's `architectures`. `head_dim` and `num_key_value_heads` are Hugging
 * Face's where a file lacks the key; null: as with a key that is null.
 */
export const ARCHITECTURES = {
  Qwen3ForCausalLM: {
    model_type: "qwen3",
    qk_norm: true,
    qkv_bias: false,
    head_dim: 128,
    num_key_value_heads: 32,
  },
  Qwen2ForCausalLM: {
    model_type: "qwen2",
    qk_norm: false,
    qkv_bias: true,
    head_dim: null,
    num_key_value_heads: 32,
  },
  LlamaForCausalLM: {
    model_type: "llama",
    qk_norm: false,
    qkv_bias: false,
    head_dim: null,
    num_key_value_heads: null,
  },
  MistralForCausalLM: {
    model_type: "mistral",
    qk_norm: false,
    qkv_bias: false,
    head_dim: null,
    num_key_value_heads: 8,
  },
} as const;

export type Architecture = keyof typeof ARCHITECTURES;
