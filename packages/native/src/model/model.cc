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
  const size_t sequences = backend_->batching(seq_len).sequences, tokens = sequences * seq_len;
  const auto sum = [&](size_t Footprint::*of) {
    return tokens * (needs_.token.*of) + sequences * (needs_.sequence.*of) +
           seq_len * (needs_.position.*of) + needs_.round.*of;
  };
  const Footprint footprint{sum(&Footprint::elements), sum(&Footprint::floats)};
  return backend_->bytes(footprint) + scratch_bytes(tokens, seq_len);
}

size_t Model::step_scratch_bytes() const { return scratch_bytes(backend_->steps().rows, 1); }

size_t Model::scratch_bytes(size_t tokens, size_t seq_len) const {
  const AttentionShape shape = config_.attention();
  const size_t gate_up = 2 * config_.intermediate_size;
  const size_t widest =
      config_.hidden_size + std::max(shape.q_width() + 2 * shape.kv_width(), gate_up);
  return backend_->scratch_bytes({tokens, seq_len, config_.head_dim, gate_up, widest});
}

// Rows of logits begin on 32 bytes.
size_t Model::logits_stride() const { return (config_.vocab_size + 7) / 8 * 8; }

void Model::layers(Activations& act, const Rows& of, const std::function<void()>& begins) {
  Backend& be = *backend_;
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size, tokens = of.tokens;
  const float eps = config_.rms_norm_eps;
  float* x = act.x.as<float>();
  float* last = act.last.as<float>();

  for (size_t i = 0; i < config_.num_hidden_layers; i++) {
    begins();
    const Layer& layer = weights_.layers[i];
    const bool pruned = i + 1 == config_.num_hidden_layers;
    // From here on only the ends matter: in the last layer they alone go on.
    const size_t rows = pruned ? of.ends : tokens;
    float* stream = pruned ? last : x;

    const auto weight = [](const Buffer& norm) { return norm.bytes ? norm.as<float>() : nullptr; };
    const auto heads_at = [&](const uint32_t* positions) {
      return Heads{shape,
                   of.seq_len,
                   weight(layer.q_norm),
                   weight(layer.k_norm),
                   eps,
                   rope_cos_.as<float>(),
                   rope_sin_.as<float>(),
                   positions};
    };
    const TokenRows* paged = of.of_tokens;
    const Heads heads = heads_at(paged ? paged->all().positions : nullptr);
    const Heads end_heads = heads_at(paged ? paged->of_ends().positions : nullptr);

    if (!clock_.enter(Stage::qkv)) return;
    if (i == 0) be.rms_norm(x, tokens, hidden, layer.input_norm.as<float>(), eps, act.normed);
    if (pruned) {
      be.project(act.normed, layer.kv, tokens, act.qkv, shape.q_width(), heads, of.seq_len);
      if (rows == 0) {  // no end is read: keys and values are all that is wanted
        be.keep_kv(paged->all(), heads, act.qkv, cache_[i]);
        return;
      }
      if (paged) {
        be.gather_rows_at(x, hidden, paged->end_rows(), rows, last);
      } else {
        be.gather_rows(x + (of.seq_len - 1) * hidden, of.seq_len * hidden, rows, hidden, last);
      }
      be.rms_norm(last, rows, hidden, layer.input_norm.as<float>(), eps, act.normed);
      be.project(act.normed, layer.q, rows, act.last_q, 0, end_heads, 1);
    } else {
      be.project(act.normed, layer.qkv, tokens, act.qkv, 0, heads, of.seq_len);
    }
    if (!clock_.enter(Stage::attention)) return;
    Act& q = pruned ? act.last_q : act.qkv;
    if (paged) {
      be.keep_kv(paged->all(), heads, act.qkv, cache_[i]);
      be.attend_pages(pruned ? paged->of_ends() : paged->all(), heads, q, cache_[i], act.mixed);
    } else {
      be.attention({heads, of.ends, pruned ? 1 : of.seq_len, q, act.qkv}, act.mixed);
    }
    if (!clock_.enter(Stage::o)) return;
    be.linear_add_norm(act.mixed, layer.o, rows, stream, layer.post_attention_norm.as<float>(), eps,
                       act.normed);

    if (!clock_.enter(Stage::mlp)) return;
    be.linear_swiglu(act.normed, layer.gate_up, rows, act.gated);
    if (!be.throttle()) return;
    if (pruned) {
      be.linear_add(act.gated, layer.down, rows, stream);
      continue;
    }
    const float* next_norm = weights_.layers[i + 1].input_norm.as<float>();
    if (of.reflections) {
      be.linear_add(act.gated, layer.down, rows, stream);
      if (!clock_.enter(Stage::reflect)) return;
      be.reflect_rms_norm(stream, rows, hidden, of.reflections + i * hidden, next_norm, eps,
                          act.normed);
    } else {
      be.linear_add_norm(act.gated, layer.down, rows, stream, next_norm, eps, act.normed);
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

size_t Model::page_bytes() const {
  return config_.num_hidden_layers * backend_->kv_page_bytes(config_.attention());
}

void Model::open_cache(size_t pages, size_t rows, size_t ends) {
  const size_t bytes = pages * backend_->kv_page_bytes(config_.attention());
  cache_.clear();
  for (size_t i = 0; i < config_.num_hidden_layers; i++)
    cache_.push_back(backend_->allocate(bytes));
  step_act_ = activations(rows, ends);
}

void Model::step(const TokenRows& rows) {
  Backend& be = *backend_;
  const Linear& table = weights_.embed_tokens ? weights_.embed_tokens : weights_.lm_head;
  if (!clock_.enter(Stage::inputs)) return;
  be.embed(table, rows.tokens(), rows.rows(), step_act_.x.as<float>());
  layers(step_act_, {rows.rows(), rows.ends(), 1, nullptr, &rows}, [] {});
  if (rows.ends() == 0) return clock_.leave();
  clock_.enter(Stage::head);
  be.rms_norm(step_act_.last.as<float>(), rows.ends(), config_.hidden_size,
              weights_.norm.as<float>(), config_.rms_norm_eps, step_act_.normed);
  be.linear(step_act_.normed, weights_.lm_head, rows.ends(), step_act_.logits.as<float>(),
            logits_stride());
  clock_.leave();
}

void Model::reserve_positions(size_t seq_len) {
  constexpr size_t kFewest = 1024;
  if (seq_len <= rope_positions_) return;
  size_t positions = kFewest;
  while (positions < seq_len) positions *= 2;
  extend_rope(std::min(positions, config_.longest()));
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
  backend_->discard_graphs();
  act_ = {};  // the old buffers go before the new ones come
  act_ = activations(t, b);
}

Activations Model::activations(size_t t, size_t b) {
  Backend& be = *backend_;
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size;
  Activations act;
  act.x = be.allocate(t * hidden * sizeof(float));
  act.normed = be.allocate_act(std::max(t, b), hidden);
  act.qkv = be.allocate_act(t, shape.q_width() + 2 * shape.kv_width());
  act.last_q = be.allocate_act(b, shape.q_width());
  act.mixed = be.allocate_act(t, shape.q_width());
  act.gated = be.allocate_act(t, config_.intermediate_size);
  act.last = be.allocate(b * hidden * sizeof(float));
  act.logits = be.allocate(b * std::max(logits_stride(), hidden) * sizeof(float));
  act.tokens = t;
  act.sequences = b;
  return act;
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
