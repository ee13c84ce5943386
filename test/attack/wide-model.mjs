// A model whose long sequences take far more memory than any machine has, and hardly any themselves:
// 130 KiB a token, in an MLP of 32,768 columns behind 16 of the residual stream.
import { writeRandomModel } from "@proofmill/native/model/random-model";

/** Its context, in tokens. */
export const CONTEXT = 2 ** 30;

/** @param {string} directory that is made */
export function writeWideModel(directory) {
  const config = {
    architectures: ["Qwen3ForCausalLM"],
    ...{ hidden_size: 16, intermediate_size: 32_768, num_hidden_layers: 2, vocab_size: 512 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8 },
    ...{ max_position_embeddings: CONTEXT, rms_norm_eps: 1e-6, tie_word_embeddings: true },
  };
  return writeRandomModel({ directory, config, seed: 1 });
}
