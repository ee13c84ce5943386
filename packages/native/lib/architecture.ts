/** The architectures that the forward pass knows, and what their names alone decide. */

/** By the name in config.json's `architectures`. */
export const ARCHITECTURES = {
  Qwen3ForCausalLM: { model_type: "qwen3", qk_norm: true, qkv_bias: false, head_dim: 128 },
  Qwen2ForCausalLM: { model_type: "qwen2", qk_norm: false, qkv_bias: true, head_dim: null },
  LlamaForCausalLM: { model_type: "llama", qk_norm: false, qkv_bias: false, head_dim: null },
  MistralForCausalLM: { model_type: "mistral", qk_norm: false, qkv_bias: false, head_dim: null },
} as const;

export type Architecture = keyof typeof ARCHITECTURES;
