#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "error.h"

namespace proofmill {

namespace {

// Tokens that keep a matrix product's rows busy; past it more sequences at once gain nothing and
// cost memory.
constexpr size_t kMicroBatchTokens = 1024;

std::string shape_text(const std::vector<size_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Weights load_weights(const Config& c, const TensorMap& tensors, Backend& backend) {
  const auto tensor = [&](const std::string& name,
                          const std::vector<size_t>& shape) -> const auto& {
    return fetch(tensors, name, shape);
  };
  const size_t q_width = c.attention().q_width(), kv_width = c.attention().kv_width();
  Weights weights;
  for (size_t i = 0; i < c.num_hidden_layers; i++) {
    const std::string at = "model.layers." + std::to_string(i) + ".";
    const std::string attn = at + "self_attn.";
    const Tensor& q = tensor(attn + "q_proj.weight", {q_width, c.hidden_size});
    const Tensor& k = tensor(attn + "k_proj.weight", {kv_width, c.hidden_size});
    const Tensor& v = tensor(attn + "v_proj.weight", {kv_width, c.hidden_size});
    std::vector<Tensor> q_bias, kv_bias, qkv_bias;
    if (c.qkv_bias) {
      q_bias = {tensor(attn + "q_proj.bias", {q_width})};
      kv_bias = {tensor(attn + "k_proj.bias", {kv_width}),
                 tensor(attn + "v_proj.bias", {kv_width})};
      qkv_bias = {q_bias[0], kv_bias[0], kv_bias[1]};
    }
    Layer layer;
    layer.input_norm = backend.upload(tensor(at + "input_layernorm.weight", {c.hidden_size}));
    if (i + 1 < c.num_hidden_layers) {
      layer.qkv = backend.pack({q, k, v}, qkv_bias);
    } else {
      layer.q = backend.pack({q}, q_bias);
      layer.kv = backend.pack({k, v}, kv_bias);
    }
    if (c.qk_norm) {
      layer.q_norm = backend.upload(tensor(attn + "q_norm.weight", {c.head_dim}));
      layer.k_norm = backend.upload(tensor(attn + "k_norm.weight", {c.head_dim}));
    }
    layer.o = backend.pack({tensor(attn + "o_proj.weight", {c.hidden_size, q_width})}, {});
    layer.post_attention_norm =
        backend.upload(tensor(at + "post_attention_layernorm.weight", {c.hidden_size}));
    layer.gate_up = backend.pack_gate_up(
        tensor(at + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size}),
        tensor(at + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size}));
    layer.down = backend.pack(
        {tensor(at + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size})}, {});
    weights.layers.push_back(std::move(layer));
  }
  weights.norm = backend.upload(tensor("model.norm.weight", {c.hidden_size}));
  const char* head = c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  weights.lm_head = backend.pack({tensor(head, {c.vocab_size, c.hidden_size})}, {});
  return weights;
}

}  // namespace

void Config::check() const {
  const auto within = [](const char* name, size_t value, size_t greatest) {
    if (value < 1 || value > greatest) {
      fail("%s must be between 1 and %zu, not %zu", name, greatest, value);
    }
  };
  within("hidden_size", hidden_size, 1u << 17);
  within("intermediate_size", intermediate_size, 1u << 20);
  within("num_hidden_layers", num_hidden_layers, 4096);
  within("num_attention_heads", num_attention_heads, 4096);
  within("num_key_value_heads", num_key_value_heads, num_attention_heads);
  within("head_dim", head_dim, 4096);
  within("vocab_size", vocab_size, 1u << 24);
  within("max_position_embeddings", max_position_embeddings, 1u << 30);
  if (num_attention_heads % num_key_value_heads != 0) {
    fail("num_attention_heads (%zu) must be a multiple of num_key_value_heads (%zu)",
         num_attention_heads, num_key_value_heads);
  }
  if (head_dim % 2 != 0) fail("head_dim must be even, not %zu", head_dim);
  if (rope_inv_freq.size() != head_dim / 2) {
    fail("rope_inv_freq must hold head_dim / 2 = %zu numbers, not %zu", head_dim / 2,
         rope_inv_freq.size());
  }
}

const Tensor& fetch(const TensorMap& tensors, const std::string& name,
                    const std::vector<size_t>& shape) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    fail("tensor %s of shape %s is missing", name.c_str(), shape_text(shape).c_str());
  }
  if (found->second.shape != shape) {
    fail("%s: tensor %s has shape %s, expected %s",
         found->second.file ? found->second.file->path().c_str() : "random weights", name.c_str(),
         shape_text(found->second.shape).c_str(), shape_text(shape).c_str());
  }
  return found->second;
}

Model::Model(const Config& config, const TensorMap& tensors, std::unique_ptr<Backend> backend)
    : config_(config), backend_(std::move(backend)) {
  config_.check();
  weights_ = load_weights(config_, tensors, *backend_);
}

size_t Model::output_width(OutputKind kind) const {
  switch (kind) {
    case OutputKind::distance:
      return 1;
    case OutputKind::logits:
      return config_.vocab_size;
    case OutputKind::hidden:
      return config_.hidden_size;
  }
  return 0;
}

size_t Model::micro_batch(size_t seq_len, size_t batch) const {
  const size_t most = std::max<size_t>(1, kMicroBatchTokens / seq_len);
  // Even shares: 6 nonces where 4 fit run as 3 + 3, not 4 + 2.
  const size_t runs = (batch + most - 1) / most;
  return (batch + runs - 1) / runs;
}

size_t Model::run(const std::vector<uint32_t>& seeds, size_t seq_len, const Output& output,
                  float* out, const std::function<bool(size_t)>& go_on) {
  const size_t width = output_width(output.kind);
  const size_t step = micro_batch(seq_len, seeds.size());
  reserve(step, seq_len);
  extend_rope(seq_len);
  size_t done = 0;
  while (done < seeds.size()) {
    const size_t sequences = std::min(step, seeds.size() - done);
    if (!forward(seeds.data() + done, sequences, seq_len, go_on)) break;
    float* values = out + done * width;
    if (output.kind == OutputKind::hidden) {
      backend_->read_act(act_.normed, sequences, config_.hidden_size, values);
    } else {
      float* logits = output.kind == OutputKind::logits ? values : act_.logits.as<float>();
      backend_->linear(act_.normed, weights_.lm_head, sequences, logits, config_.vocab_size);
      if (output.kind == OutputKind::distance) {
        clock_.enter(Stage::distance);
        backend_->distances(logits, sequences, config_.vocab_size,
                            output.permutation_seeds.data() + done, output.target_seed, values);
      }
    }
    done += sequences;
  }
  clock_.leave();
  return done;
}

// Leaves the last positions after the final norm in act_.normed [sequences, hidden_size].
bool Model::forward(const uint32_t* seeds, size_t sequences, size_t seq_len,
                    const std::function<bool(size_t)>& go_on) {
  Backend& be = *backend_;
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size, tokens = sequences * seq_len;
  const size_t q_width = shape.q_width(), kv_width = shape.kv_width();
  const size_t qkv_width = q_width + 2 * kv_width;
  const float eps = config_.rms_norm_eps;
  float* x = act_.x.as<float>();
  float* last = act_.last.as<float>();
  float* qkv = act_.qkv.as<float>();
  const auto rope = [&](const Buffer& norm, size_t first_position, size_t length) {
    return Backend::Rope{norm.bytes ? norm.as<float>() : nullptr,
                         rope_cos_.as<float>(),
                         rope_sin_.as<float>(),
                         eps,
                         first_position,
                         length};
  };

  clock_.enter(Stage::inputs);
  be.inputs(seeds, sequences, seq_len * hidden, x);
  for (size_t i = 0; i < config_.num_hidden_layers; i++) {
    if (!go_on(i)) return false;
    const Layer& layer = weights_.layers[i];
    const bool pruned = i + 1 == config_.num_hidden_layers;
    // From here on only the last positions matter: in the last layer one row each goes on.
    const size_t rows = pruned ? sequences : tokens;
    const size_t queries = pruned ? 1 : seq_len;
    float* stream = pruned ? last : x;
    float* q = pruned ? act_.last_q.as<float>() : qkv;
    const size_t q_stride = pruned ? q_width : qkv_width;
    float* k = qkv + q_width;
    float* v = k + kv_width;

    clock_.enter(Stage::qkv);
    be.rms_norm(x, hidden, tokens, hidden, layer.input_norm.as<float>(), eps, act_.normed);
    if (pruned) {
      be.linear(act_.normed, layer.kv, tokens, k, qkv_width);
      const float* ends = x + (seq_len - 1) * hidden;
      be.rms_norm(ends, seq_len * hidden, rows, hidden, layer.input_norm.as<float>(), eps,
                  act_.normed);
      be.linear(act_.normed, layer.q, rows, q, q_stride);
      be.gather_rows(ends, seq_len * hidden, rows, hidden, last);
    } else {
      be.linear(act_.normed, layer.qkv, tokens, qkv, qkv_width);
    }
    clock_.enter(Stage::attention);
    be.norm_rope(q, q_stride, rows, shape.num_heads, shape.head_dim,
                 rope(layer.q_norm, seq_len - queries, queries));
    be.norm_rope(k, qkv_width, tokens, shape.num_kv_heads, shape.head_dim,
                 rope(layer.k_norm, 0, seq_len));
    be.attention({shape, sequences, seq_len, queries, q, q_stride, k, v, qkv_width}, act_.mixed);
    clock_.enter(Stage::o);
    be.linear_add(act_.mixed, layer.o, rows, stream);

    clock_.enter(Stage::mlp);
    be.rms_norm(stream, hidden, rows, hidden, layer.post_attention_norm.as<float>(), eps,
                act_.normed);
    be.linear_swiglu(act_.normed, layer.gate_up, rows, act_.gated);
    be.linear_add(act_.gated, layer.down, rows, stream);
  }
  clock_.enter(Stage::head);
  be.rms_norm(last, hidden, sequences, hidden, weights_.norm.as<float>(), eps, act_.normed);
  return true;
}

void Model::reserve(size_t sequences, size_t seq_len) {
  const size_t tokens = sequences * seq_len;
  if (tokens <= act_.tokens && sequences <= act_.sequences) return;
  const AttentionShape shape = config_.attention();
  const size_t t = std::max(tokens, act_.tokens), b = std::max(sequences, act_.sequences);
  act_ = {};  // the old buffers go before the new ones come
  act_.x = backend_->allocate(t * config_.hidden_size * sizeof(float));
  act_.last = backend_->allocate(b * config_.hidden_size * sizeof(float));
  act_.normed = backend_->allocate_act(t, config_.hidden_size);
  act_.qkv = backend_->allocate(t * (shape.q_width() + 2 * shape.kv_width()) * sizeof(float));
  act_.last_q = backend_->allocate(b * shape.q_width() * sizeof(float));
  act_.mixed = backend_->allocate_act(t, shape.q_width());
  act_.gated = backend_->allocate_act(t, config_.intermediate_size);
  act_.logits = backend_->allocate(b * config_.vocab_size * sizeof(float));
  act_.tokens = t;
  act_.sequences = b;
}

void Model::extend_rope(size_t seq_len) {
  if (seq_len <= rope_positions_) return;
  const size_t half = config_.head_dim / 2;
  std::vector<float> cos(seq_len * half), sin(seq_len * half);
  for (size_t position = 0; position < seq_len; position++) {
    for (size_t j = 0; j < half; j++) {
      const double angle = static_cast<double>(position) * config_.rope_inv_freq[j];
      cos[position * half + j] = static_cast<float>(std::cos(angle));
      sin[position * half + j] = static_cast<float>(std::sin(angle));
    }
  }
  rope_cos_ = backend_->upload(cos);
  rope_sin_ = backend_->upload(sin);
  rope_positions_ = seq_len;
}

}  // namespace proofmill
