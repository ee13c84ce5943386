// A decoder-only language model and its prefill: input embeddings in, the last position out.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device/backend.h"
#include "device/tensor.h"

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
  // A model is refused unless passes of sequences of this length will fit.
  size_t usual_length = 1;
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

// Intermediates of one pass, reused by every pass: b sequences, of which chunks of T tokens go
// through the layers together.
struct Activations {
  size_t tokens = 0, sequences = 0;  // capacity: T, b
  Buffer x;                          // [T, hidden_size] f32: the residual stream
  Act normed;                        // [max(T, b), hidden_size]
  Act qkv;                           // [T, q_width + 2 kv_width]
  Act last_q;                        // [sequences of a chunk, q_width]
  Act mixed;                         // [T, q_width]
  Act gated;                         // [T, intermediate_size]
  Buffer last;                       // [b, hidden_size] f32: a chunk's last positions in the
                                     // residual stream
  Buffer ends;                       // [b, hidden_size] f32: of all chunks
  Buffer logits;                     // [b, logits stride] f32; or [b, hidden_size]
  Buffer distances;                  // [b] f32
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

// Nonces that go through the model in one pass, at most `sequences_of_pass` of them.
struct Pass {
  const uint32_t* input_seeds;        // [sequences]
  const uint32_t* permutation_seeds;  // [sequences], distance only
  uint32_t target_seed;
  size_t sequences, seq_len;
  OutputKind kind;
  float* out;  // [sequences, output_width], written by the time the pass is collected
};

class Model {
 public:
  // Packs every weight into the backend's memory; the files are not needed after. `loaded` hears
  // after every layer how many are packed.
  Model(const Config& config, const ModelNeeds& needs, const TensorMap& tensors,
        std::unique_ptr<Backend> backend, const std::function<void(size_t layers)>& loaded = {});

  const Config& config() const { return config_; }
  Backend& backend() { return *backend_; }
  // Seconds of each stage since load; to be read while no pass is under way. A device that replays
  // its work has none to tell but while `time_stages` is on, which slows it.
  const std::array<double, kStages>& stage_seconds() const { return clock_.seconds(); }
  void time_stages(bool on) { timing_ = on; }
  // Floats that one nonce yields.
  size_t output_width(OutputKind kind) const;
  // How many of the nonces that are left the next pass takes.
  size_t sequences_of_pass(size_t seq_len, size_t left) const;
  // Tokens that the device computes together.
  size_t preferred_tokens() const;
  // Passes that may be begun before the first is collected.
  size_t depth() const { return backend_->depth(); }
  // Bytes that passes at this length take beside the weights.
  size_t pass_bytes(size_t seq_len) const;

  // Begins a pass. `heard` hears of every layer that begins; of recorded ones, when they are
  // recorded. Returns false when the backend's `cut` was made meanwhile: then there is nothing to
  // collect.
  bool begin(const Pass& pass, const std::function<void(size_t layer)>& heard);
  // Waits for the pass that was begun first; its values are there then.
  void collect();

 private:
  void layers(size_t first, size_t sequences, size_t seq_len,
              const std::function<void(size_t)>& heard);
  void head(const Pass& pass, size_t used);
  void reserve(const Batching& batching, size_t seq_len);
  void extend_rope(size_t seq_len);
  bool enter(Stage stage);

  Config config_;
  ModelNeeds needs_;
  Weights weights_;
  Activations act_;
  StageClock clock_;
  bool timing_ = false;
  size_t rope_positions_ = 0;
  Buffer rope_cos_, rope_sin_;  // [rope_positions_, head_dim / 2] f32
  // The last one, so that it goes first: it waits for whatever still uses these buffers.
  std::unique_ptr<Backend> backend_;
};

// Runs `seeds.size()` nonces, one pass after the other, into out [seeds, output_width].
void run_all(Model& model, const std::vector<uint32_t>& seeds, size_t seq_len, const Output& output,
             float* out);

}  // namespace proofmill
