#include "model.h"

#include <algorithm>
#include <cmath>

namespace proofmill {

Model::Model(const Config& config, const ModelNeeds& needs, const TensorMap& tensors,
             std::unique_ptr<Backend> backend, const std::function<void(size_t)>& on_layer)
    : config_(config), needs_(needs), clock_(*backend), backend_(std::move(backend)) {
  config_.check();
  backend_->require_memory(needs_.weights, pass_bytes(needs_.usual_length));
  weights_ = load_weights(config_, tensors, *backend_, on_layer);
}

size_t Model::preferred_tokens() const {
  return backend_->batching(needs_.usual_length).sequences * needs_.usual_length;
}

size_t Model::pass_bytes(size_t seq_len) const {
  const AttentionShape shape = config_.attention();
  const size_t sequences = backend_->batching(seq_len).sequences, tokens = sequences * seq_len;
  const auto sum = [&](size_t Footprint::*of) {
    return tokens * (needs_.token.*of) + sequences * (needs_.sequence.*of) +
           seq_len * (needs_.position.*of) + needs_.round.*of;
  };
  const Footprint footprint{sum(&Footprint::elements), sum(&Footprint::floats)};
  const size_t gate_up = 2 * config_.intermediate_size;
  const size_t widest =
      config_.hidden_size + std::max(shape.q_width() + 2 * shape.kv_width(), gate_up);
  return backend_->bytes(footprint) +
         backend_->scratch_bytes({tokens, seq_len, config_.head_dim, gate_up, widest});
}

// Rows of logits begin on 32 bytes.
size_t Model::logits_stride() const { return (config_.vocab_size + 7) / 8 * 8; }

void Model::layers(size_t sequences, size_t seq_len, const float* reflections,
                   const std::function<void(size_t)>& on_layer) {
  Backend& be = *backend_;
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size, tokens = sequences * seq_len;
  const float eps = config_.rms_norm_eps;
  float* x = act_.x.as<float>();
  float* last = act_.last.as<float>();

  for (size_t i = 0; i < config_.num_hidden_layers; i++) {
    on_layer(i);
    const Layer& layer = weights_.layers[i];
    const bool pruned = i + 1 == config_.num_hidden_layers;
    // From here on only the last positions matter: in the last layer one row each goes on.
    const size_t rows = pruned ? sequences : tokens;
    float* stream = pruned ? last : x;

    const auto weight = [](const Buffer& norm) { return norm.bytes ? norm.as<float>() : nullptr; };
    const Heads heads{shape,
                      seq_len,
                      weight(layer.q_norm),
                      weight(layer.k_norm),
                      eps,
                      rope_cos_.as<float>(),
                      rope_sin_.as<float>()};

    if (!clock_.enter(Stage::qkv)) return;
    if (i == 0) be.rms_norm(x, tokens, hidden, layer.input_norm.as<float>(), eps, act_.normed);
    if (pruned) {
      be.project(act_.normed, layer.kv, tokens, act_.qkv, shape.q_width(), heads, seq_len);
      be.gather_rows(x + (seq_len - 1) * hidden, seq_len * hidden, rows, hidden, last);
      be.rms_norm(last, rows, hidden, layer.input_norm.as<float>(), eps, act_.normed);
      be.project(act_.normed, layer.q, rows, act_.last_q, 0, heads, 1);
    } else {
      be.project(act_.normed, layer.qkv, tokens, act_.qkv, 0, heads, seq_len);
    }
    if (!clock_.enter(Stage::attention)) return;
    be.attention(
        {heads, sequences, pruned ? 1 : seq_len, pruned ? act_.last_q : act_.qkv, act_.qkv},
        act_.mixed);
    if (!clock_.enter(Stage::o)) return;
    be.linear_add_norm(act_.mixed, layer.o, rows, stream, layer.post_attention_norm.as<float>(),
                       eps, act_.normed);

    if (!clock_.enter(Stage::mlp)) return;
    be.linear_swiglu(act_.normed, layer.gate_up, rows, act_.gated);
    if (!be.throttle()) return;
    if (pruned) {
      be.linear_add(act_.gated, layer.down, rows, stream);
      continue;
    }
    const float* next_norm = weights_.layers[i + 1].input_norm.as<float>();
    if (reflections) {
      be.linear_add(act_.gated, layer.down, rows, stream);
      if (!clock_.enter(Stage::reflect)) return;
      be.reflect_rms_norm(stream, rows, hidden, reflections + i * hidden, next_norm, eps,
                          act_.normed);
    } else {
      be.linear_add_norm(act_.gated, layer.down, rows, stream, next_norm, eps, act_.normed);
    }
  }
}

void Model::final_norm(size_t rows, const float* reflections) {
  const size_t hidden = config_.hidden_size;
  const float* weight = weights_.norm.as<float>();
  float* last = act_.last.as<float>();
  if (reflections) {
    const float* v = reflections + (config_.num_hidden_layers - 1) * hidden;
    backend_->reflect_rms_norm(last, rows, hidden, v, weight, config_.rms_norm_eps, act_.normed);
  } else {
    backend_->rms_norm(last, rows, hidden, weight, config_.rms_norm_eps, act_.normed);
  }
}

void Model::reserve(size_t sequences, size_t seq_len) {
  reserve_activations(sequences, seq_len);
  extend_rope(seq_len);
}

void Model::reserve_activations(size_t sequences, size_t seq_len) {
  size_t t = sequences * seq_len, b = std::max(sequences, act_.sequences);
  // What a far longer length has taken is given back, so that one round does not keep it for good.
  const bool wasteful = act_.tokens > 4 * std::max<size_t>(t, 1024);
  if (t <= act_.tokens && b <= act_.sequences && !wasteful) return;
  if (wasteful) {
    backend_->free_scratch();
  } else {
    t = std::max(t, act_.tokens);
  }
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size;
  backend_->discard_graphs();
  act_ = {};  // the old buffers go before the new ones come
  act_.x = backend_->allocate(t * hidden * sizeof(float));
  act_.normed = backend_->allocate_act(std::max(t, b), hidden);
  act_.qkv = backend_->allocate_act(t, shape.q_width() + 2 * shape.kv_width());
  act_.last_q = backend_->allocate_act(b, shape.q_width());
  act_.mixed = backend_->allocate_act(t, shape.q_width());
  act_.gated = backend_->allocate_act(t, config_.intermediate_size);
  act_.last = backend_->allocate(b * hidden * sizeof(float));
  act_.logits = backend_->allocate(b * std::max(logits_stride(), hidden) * sizeof(float));
  act_.tokens = t;
  act_.sequences = b;
}

void Model::extend_rope(size_t seq_len) {
  if (seq_len <= rope_positions_) return;
  const size_t half = config_.head_dim / 2;
  std::vector<float> cos(seq_len * half), sin(seq_len * half);
  for (size_t position = 0; position < seq_len; position++) {
    if (backend_->cut.made()) return;
    for (size_t j = 0; j < half; j++) {
      const double angle = static_cast<double>(position) * config_.rope_inv_freq[j];
      cos[position * half + j] = static_cast<float>(std::cos(angle));
      sin[position * half + j] = static_cast<float>(std::sin(angle));
    }
  }
  backend_->discard_graphs();
  rope_positions_ = 0;
  rope_cos_ = backend_->upload(cos);
  rope_sin_ = backend_->upload(sin);
  rope_positions_ = seq_len;
}

}  // namespace proofmill
