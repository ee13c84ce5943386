// A decoder-only language model: embeddings or tokens in, the last position of each sequence out.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "device/stages.h"
#include "token_rows.h"
#include "weights.h"

namespace proofmill {

// Intermediates of a pass, reused by every pass: b sequences with T tokens together.
struct Activations {
  size_t tokens = 0, sequences = 0;  // capacity: T, b
  Buffer x;                          // [T, hidden_size] f32: the residual stream
  Act normed;                        // [max(T, b), hidden_size]
  Act qkv;                           // [T, q_width + 2 kv_width]
  Act last_q;                        // [b, q_width]
  Act mixed;                         // [T, q_width]
  Act gated;                         // [T, intermediate_size]
  Buffer last;                       // [b, hidden_size] f32: last positions of the residual stream
  Buffer logits;                     // [b, logits stride] f32, or [b, hidden_size]
};

// What goes through the layers together: sequences of a search, which are as long as each other and
// read nothing that came before; or rows of token sequences, over the pages of a cache.
struct Rows {
  size_t tokens;  // through every layer but the last
  size_t ends;    // of those, how many are read when the layers are done: they alone go through it
  size_t seq_len = 0;                    // of a search
  const float* reflections = nullptr;    // of a search: see `layers`
  const TokenRows* of_tokens = nullptr;  // null: a search's
};

class Model {
 public:
  // Packs every weight into the backend's memory; the files are not needed after. `on_layer` is
  // called after every layer with the number of those that are packed.
  Model(const Config& config, const ModelNeeds& needs, const TensorMap& tensors,
        std::unique_ptr<Backend> backend, const std::function<void(size_t layers)>& on_layer = {});

  const Config& config() const { return config_; }
  Backend& backend() { return *backend_; }
  const Backend& backend() const { return *backend_; }
  StageClock& clock() { return clock_; }
  // Tokens that the device computes together.
  size_t preferred_tokens() const;
  // Bytes that passes at this length take beside the weights.
  size_t pass_bytes(size_t seq_len) const;
  // Bytes that operations of a step of token sequences take beside its activations and the cache.
  size_t step_scratch_bytes() const;

  // --- Operations of a pass; each stops early when the backend's `cut` is made ---
  // Takes memory for passes of so many sequences of this length. Once taken for the longest pass,
  // it serves all.
  void reserve(size_t sequences, size_t seq_len);
  // Where a pass's embeddings are written, [sequences, seq_len, hidden_size] f32.
  float* embeddings() const { return act_.x.as<float>(); }
  // Takes them through every layer; what remains are the last positions. Where there are
  // `reflections` [num_hidden_layers, hidden_size], unit vectors, the residual stream is reflected
  // by a layer's after that layer: in the norm that follows, so that of the last layer's it is
  // `final_norm` that does it. `begins` is called when a layer does.
  void layers(size_t sequences, size_t seq_len, const float* reflections,
              const std::function<void()>& begins) {
    layers(act_, {sequences * seq_len, sequences, seq_len, reflections}, begins);
  }
  // The last positions of so many sequences, through the final norm; `reflections` as for `layers`.
  void final_norm(size_t rows, const float* reflections);
  // What it writes, [rows, hidden_size].
  const Act& last_normed() const { return act_.normed; }
  const Linear& lm_head() const { return weights_.lm_head; }
  // Room for their logits, [sequences, logits_stride] f32, or for [sequences, hidden_size].
  float* logits() const { return act_.logits.as<float>(); }
  size_t logits_stride() const;

  // --- Token sequences, which have activations of their own: a step of theirs may run between two
  // layers of a search's pass ---
  // Whether their embeddings were loaded.
  bool takes_tokens() const { return config_.tie_word_embeddings || weights_.embed_tokens; }
  // Bytes that keys and values of kPageTokens tokens take, over all layers.
  size_t page_bytes() const;
  // Takes memory for a cache of so many pages, and for steps of so many rows and ends.
  void open_cache(size_t pages, size_t rows, size_t ends);
  // Takes rows through every layer, and leaves the logits of their ends at `step_logits`, [ends,
  // logits_stride].
  void step(const TokenRows& rows);
  const float* step_logits() const { return step_act_.logits.as<float>(); }
  // Cosines and sines for sequences of this length; for more than that, too, so that one that grows
  // need not ask at every step.
  void reserve_positions(size_t seq_len);

 private:
  void layers(Activations& act, const Rows& rows, const std::function<void()>& begins);
  Activations activations(size_t tokens, size_t sequences);
  void reserve_activations(size_t sequences, size_t seq_len);
  void extend_rope(size_t seq_len);
  size_t scratch_bytes(size_t tokens, size_t seq_len) const;

  Config config_;
  ModelNeeds needs_;
  Weights weights_;
  Activations act_, step_act_;
  std::vector<Buffer> cache_;  // of each layer, [pages, the backend's kv_page_bytes]
  size_t rope_positions_ = 0;
  Buffer rope_cos_, rope_sin_;  // [rope_positions_, head_dim / 2] f32
  StageClock clock_;
  // The last one, so that it goes first: it waits for whatever still uses these buffers.
  std::unique_ptr<Backend> backend_;
};

}  // namespace proofmill
