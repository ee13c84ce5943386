// A model's weights, from the tensors of a checkpoint into a device's memory.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config.h"

namespace proofmill {

using TensorMap = std::map<std::string, Tensor>;

// The tensor of this name and shape, or an error with all of it.
const Tensor& fetch(const TensorMap& tensors, const std::string& name,
                    const std::vector<size_t>& shape);

struct Layer {
  Buffer input_norm;           // [hidden_size]
  Linear qkv;                  // [q_width + 2 kv_width, hidden_size]; not in the last layer,
  Linear q, kv;                // where only the last position needs a query
  Buffer q_norm, k_norm;       // [head_dim], or empty
  Linear o;                    // [hidden_size, q_width]
  Buffer post_attention_norm;  // [hidden_size]
  Linear gate_up;              // [2 intermediate_size, hidden_size]
  Linear down;                 // [hidden_size, intermediate_size]
};

struct Weights {
  std::vector<Layer> layers;
  Buffer norm;     // [hidden_size]
  Linear lm_head;  // [vocab_size, hidden_size]
  // [vocab_size, hidden_size]; empty where lm_head is the same, and where only nonces are computed,
  // which have no tokens
  Linear embed_tokens;
};

// Packs every weight; the files are not needed after. `on_layer` is called after every layer with
// the number of those that are packed; it may be empty.
Weights load_weights(const Config& config, const TensorMap& tensors, Backend& backend,
                     const std::function<void(size_t layers)>& on_layer);

}  // namespace proofmill
