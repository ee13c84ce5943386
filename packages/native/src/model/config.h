// The sizes of a decoder-only language model.
#pragma once

#include <cstddef>
#include <vector>

#include "device/backend.h"

namespace proofmill {

// The names are Hugging Face's.
struct Config {
  size_t hidden_size = 0;
  size_t intermediate_size = 0;
  size_t num_hidden_layers = 0;
  size_t num_attention_heads = 0;
  size_t num_key_value_heads = 0;
  size_t head_dim = 0;
  size_t vocab_size = 0;
  size_t max_position_embeddings = 0;
  float rms_norm_eps = 0;
  std::vector<double> rope_inv_freq;  // [head_dim / 2], scaling applied
  bool qk_norm = false;               // Qwen3: RMSNorm over head_dim on each q and k head
  bool qkv_bias = false;              // Qwen2
  bool tie_word_embeddings = false;

  AttentionShape attention() const { return {num_attention_heads, num_key_value_heads, head_dim}; }
  // The longest sequence: the context, as far as inputs can be numbered in 32 bits.
  size_t longest() const;
  void check() const;  // throws where sizes cannot be a model's
};

// A size of a Config by its name, between 1 and `greatest`.
struct ConfigSize {
  const char* name;
  size_t Config::*member;
  size_t greatest;
};
inline constexpr ConfigSize kConfigSizes[] = {
    {"hidden_size", &Config::hidden_size, 1u << 17},
    {"intermediate_size", &Config::intermediate_size, 1u << 20},
    {"num_hidden_layers", &Config::num_hidden_layers, 4096},
    {"num_attention_heads", &Config::num_attention_heads, 4096},
    {"num_key_value_heads", &Config::num_key_value_heads, 4096},
    {"head_dim", &Config::head_dim, 4096},
    {"vocab_size", &Config::vocab_size, 1u << 24},
    {"max_position_embeddings", &Config::max_position_embeddings, 1u << 30},
};

// What a model holds, as whoever loads it has computed it from its config.
struct ModelNeeds {
  Footprint weights;
  Footprint token;     // for each token that is on its way through the layers
  Footprint sequence;  // for each sequence of a pass
  Footprint position;  // for each position of the longest sequence
  Footprint round;     // whatever the passes
  // A model is refused unless passes of sequences of this length will fit.
  size_t usual_length = 1;
};

}  // namespace proofmill
