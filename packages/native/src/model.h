// A decoder-only language model and its prefill: input embeddings in, the last position out.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "tensor.h"

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
  void check() const;  // throws where sizes cannot be a model's
};

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
};

// Intermediates of one micro-batch, b sequences of T = b * seq_len tokens; reused by every batch.
struct Activations {
  size_t tokens = 0, sequences = 0;  // capacity
  Buffer x;                          // [T, hidden_size] f32: the residual stream
  Buffer last;                       // [b, hidden_size] f32: its last positions
  Act normed;                        // [T, hidden_size]
  Buffer qkv;                        // [T, q_width + 2 kv_width] f32
  Buffer last_q;                     // [b, q_width] f32
  Act mixed;                         // [T, q_width]
  Act gated;                         // [T, intermediate_size]
  Buffer logits;                     // [b, vocab_size] f32
};

// Where a search's time goes, in the order of the forward pass. A norm belongs to what follows it.
enum class Stage { inputs, qkv, attention, o, mlp, head, distance };
constexpr size_t kStages = 7;

// Adds up the time between one stage's beginning and the next one's.
class StageClock {
 public:
  void enter(Stage stage) {
    leave();
    stage_ = stage;
    since_ = Clock::now();
    running_ = true;
  }
  void leave() {
    if (!running_) return;
    const std::chrono::duration<double> spent = Clock::now() - since_;
    seconds_[static_cast<size_t>(stage_)] += spent.count();
    running_ = false;
  }
  const std::array<double, kStages>& seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  std::array<double, kStages> seconds_{};
  Stage stage_ = Stage::inputs;
  Clock::time_point since_;
  bool running_ = false;
};

enum class OutputKind { distance, logits, hidden };

struct Output {
  OutputKind kind = OutputKind::distance;
  std::vector<uint32_t> permutation_seeds;  // [batch], distance only
  uint32_t target_seed = 0;
};

class Model {
 public:
  // Packs every weight into the backend's memory; the files are not needed after.
  Model(const Config& config, const TensorMap& tensors, std::unique_ptr<Backend> backend);

  const Config& config() const { return config_; }
  Backend& backend() { return *backend_; }
  // Seconds of each stage since load; to be read while no job runs.
  const std::array<double, kStages>& stage_seconds() const { return clock_.seconds(); }
  // Floats that one nonce yields.
  size_t output_width(OutputKind kind) const;
  // Sequences that share one matrix product at this length.
  size_t micro_batch(size_t seq_len, size_t batch) const;

  // Runs `seeds.size()` nonces in micro-batches and returns how many finished; their values are in
  // out [completed, output_width]. `go_on` is asked before every layer; false cuts the rest.
  size_t run(const std::vector<uint32_t>& seeds, size_t seq_len, const Output& output, float* out,
             const std::function<bool(size_t layer)>& go_on);

 private:
  bool forward(const uint32_t* seeds, size_t sequences, size_t seq_len,
               const std::function<bool(size_t)>& go_on);
  void reserve(size_t sequences, size_t seq_len);
  void extend_rope(size_t seq_len);

  Config config_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  Activations act_;
  StageClock clock_;
  size_t rope_positions_ = 0;
  Buffer rope_cos_, rope_sin_;  // [rope_positions_, head_dim / 2] f32
};

}  // namespace proofmill
