#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "device/error.h"

namespace proofmill {

namespace {

// Rows of logits begin on 32 bytes.
size_t logits_stride(size_t vocab) { return (vocab + 7) / 8 * 8; }

std::string shape_text(const std::vector<size_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Weights load_weights(const Config& c, const TensorMap& tensors, Backend& backend,
                     const std::function<void(size_t)>& loaded) {
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
    if (loaded) loaded(i + 1);
  }
  weights.norm = backend.upload(tensor("model.norm.weight", {c.hidden_size}));
  const char* head = c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  weights.lm_head = backend.pack({tensor(head, {c.vocab_size, c.hidden_size})}, {});
  return weights;
}

}  // namespace

size_t Config::longest() const {
  return std::min<size_t>(max_position_embeddings, UINT32_MAX / hidden_size);
}

void Config::check() const {
  for (const auto& [name, member, greatest] : kConfigSizes) {
    const size_t size = this->*member;
    if (size < 1 || size > greatest) {
      fail("%s must be between 1 and %zu, not %zu", name, greatest, size);
    }
  }
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

Model::Model(const Config& config, const ModelNeeds& needs, const TensorMap& tensors,
             std::unique_ptr<Backend> backend, const std::function<void(size_t)>& loaded)
    : config_(config), needs_(needs), backend_(std::move(backend)) {
  config_.check();
  backend_->expect(needs_.weights, pass_bytes(needs_.usual_length));
  weights_ = load_weights(config_, tensors, *backend_, loaded);
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

size_t Model::sequences_of_pass(size_t seq_len, size_t left) const {
  const Batching batching = backend_->batching(seq_len);
  if (batching.fixed) return std::min(batching.sequences, left);
  // Even shares: 6 nonces where 4 fit run as 3 + 3, not 4 + 2.
  const size_t passes = (left + batching.sequences - 1) / batching.sequences;
  return (left + passes - 1) / passes;
}

size_t Model::preferred_tokens() const {
  return backend_->batching(needs_.usual_length).sequences * needs_.usual_length;
}

size_t Model::pass_bytes(size_t seq_len) const {
  const Batching batching = backend_->batching(seq_len);
  const AttentionShape shape = config_.attention();
  const size_t tokens = batching.chunk * seq_len, sequences = batching.sequences;
  const auto sum = [&](size_t Footprint::*of) {
    return tokens * (needs_.token.*of) + sequences * (needs_.sequence.*of) +
           seq_len * (needs_.position.*of);
  };
  const Footprint footprint{sum(&Footprint::elements), sum(&Footprint::floats)};
  const size_t gate_up = 2 * config_.intermediate_size;
  const size_t widest =
      config_.hidden_size + std::max(shape.q_width() + 2 * shape.kv_width(), gate_up);
  return backend_->bytes(footprint) +
         backend_->scratch_bytes({tokens, seq_len, config_.head_dim, gate_up, widest});
}

bool Model::begin(const Pass& pass, const std::function<void(size_t)>& heard) {
  const Batching batching = backend_->batching(pass.seq_len);
  const size_t chunk = batching.fixed ? batching.chunk : pass.sequences;
  const size_t chunks = (pass.sequences + chunk - 1) / chunk;
  reserve(batching, pass.seq_len);
  extend_rope(pass.seq_len);
  if (!backend_->step()) return false;

  const size_t vocab = config_.vocab_size;
  const bool distance = pass.kind == OutputKind::distance;
  backend_->begin({pass.input_seeds, distance ? pass.permutation_seeds : nullptr, pass.target_seed,
                   pass.sequences},
                  vocab);
  // Stages can be told apart only where nothing is replayed.
  if (timing_) backend_->forget();
  const uint64_t length = static_cast<uint64_t>(pass.seq_len) << 24;
  for (size_t i = 0; i < chunks && backend_->step(); i++) {
    const auto operations = [&] { layers(i * chunk, chunk, pass.seq_len, heard); };
    if (batching.replayed) {
      backend_->replay(length | i << 2, operations);
    } else {
      operations();
    }
  }
  if (backend_->step()) {
    const uint64_t kind = static_cast<uint64_t>(pass.kind) + 1;
    backend_->replay(length | chunks << 2 | kind, [&] { head(pass, chunks * chunk); });
  }
  clock_.leave();
  if (backend_->cut.made()) {
    backend_->synchronize();  // the little that was ahead
    return false;
  }
  const size_t width = output_width(pass.kind);
  const float* values = distance ? act_.distances.as<float>() : act_.logits.as<float>();
  const size_t stride = pass.kind == OutputKind::logits ? logits_stride(vocab) : width;
  backend_->finish(values, stride, pass.sequences, width, pass.out);
  return true;
}

void Model::collect() { backend_->collect(); }

// Whether the pass is still wanted; asked before each stage.
bool Model::enter(Stage stage) {
  if (timing_) backend_->synchronize();
  clock_.enter(stage);
  return backend_->step();
}

// A chunk of sequences, `first` being its first one's place in the pass, through every layer.
// Leaves the residual stream's last positions in act_.ends, unless the pass is cut. Every chunk's
// operations have the same addresses: how a device multiplies, and so bits, may depend on their
// alignment.
void Model::layers(size_t first, size_t sequences, size_t seq_len,
                   const std::function<void(size_t)>& heard) {
  Backend& be = *backend_;
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size, tokens = sequences * seq_len;
  const float eps = config_.rms_norm_eps;
  float* x = act_.x.as<float>();
  float* last = act_.last.as<float>();

  if (!enter(Stage::inputs)) return;
  be.inputs(first, sequences, seq_len * hidden, x);
  for (size_t i = 0; i < config_.num_hidden_layers; i++) {
    heard(i);
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

    if (!enter(Stage::qkv)) return;
    if (i == 0) be.rms_norm(x, tokens, hidden, layer.input_norm.as<float>(), eps, act_.normed);
    if (pruned) {
      be.project(act_.normed, layer.kv, tokens, act_.qkv, shape.q_width(), heads, seq_len);
      const float* ends = x + (seq_len - 1) * hidden;
      be.gather_rows(ends, seq_len * hidden, rows, hidden, last);
      be.rms_norm(last, rows, hidden, layer.input_norm.as<float>(), eps, act_.normed);
      be.project(act_.normed, layer.q, rows, act_.last_q, 0, heads, 1);
    } else {
      be.project(act_.normed, layer.qkv, tokens, act_.qkv, 0, heads, seq_len);
    }
    if (!enter(Stage::attention)) return;
    be.attention(
        {heads, sequences, pruned ? 1 : seq_len, pruned ? act_.last_q : act_.qkv, act_.qkv},
        act_.mixed);
    if (!enter(Stage::o)) return;
    be.linear_add_norm(act_.mixed, layer.o, rows, stream, layer.post_attention_norm.as<float>(),
                       eps, act_.normed);

    if (!enter(Stage::mlp)) return;
    be.linear_swiglu(act_.normed, layer.gate_up, rows, act_.gated);
    if (!be.step()) return;
    if (pruned) {
      be.linear_add(act_.gated, layer.down, rows, stream);
    } else {
      be.linear_add_norm(act_.gated, layer.down, rows, stream,
                         weights_.layers[i + 1].input_norm.as<float>(), eps, act_.normed);
    }
  }
  be.gather_rows(last, hidden, sequences, hidden, act_.ends.as<float>() + first * hidden);
}

// The last positions of all sequences of a pass, through the final norm and what its kind asks for.
// `used` rows are of interest; products have the same shape in every pass where shapes are fixed.
void Model::head(const Pass& pass, size_t used) {
  Backend& be = *backend_;
  const Batching batching = be.batching(pass.seq_len);
  const size_t rows = batching.fixed ? batching.sequences : used;
  const size_t hidden = config_.hidden_size, vocab = config_.vocab_size;
  float* logits = act_.logits.as<float>();
  enter(Stage::head);
  be.rms_norm(act_.ends.as<float>(), rows, hidden, weights_.norm.as<float>(), config_.rms_norm_eps,
              act_.normed);
  if (pass.kind == OutputKind::hidden) return be.widen(act_.normed, rows, logits);
  be.linear(act_.normed, weights_.lm_head, rows, logits, logits_stride(vocab));
  if (pass.kind == OutputKind::logits) return;
  enter(Stage::distance);
  be.distances(logits, logits_stride(vocab), used, vocab, act_.distances.as<float>());
  if (timing_) be.synchronize();
}

// Memory for whole passes of a length: it does not grow with the number of nonces.
void Model::reserve(const Batching& batching, size_t seq_len) {
  size_t t = batching.chunk * seq_len, b = std::max(batching.sequences, act_.sequences);
  // What a far longer length has taken is given back, so that one round does not keep it for good.
  const bool wasteful = act_.tokens > 4 * std::max<size_t>(t, 1024);
  if (t <= act_.tokens && b <= act_.sequences && !wasteful) return;
  if (wasteful) {
    backend_->trim();
  } else {
    t = std::max(t, act_.tokens);
  }
  const AttentionShape shape = config_.attention();
  const size_t hidden = config_.hidden_size;
  backend_->forget();
  act_ = {};  // the old buffers go before the new ones come
  act_.x = backend_->allocate(t * hidden * sizeof(float));
  act_.normed = backend_->allocate_act(std::max(t, b), hidden);
  act_.qkv = backend_->allocate_act(t, shape.q_width() + 2 * shape.kv_width());
  act_.last_q = backend_->allocate_act(b, shape.q_width());
  act_.mixed = backend_->allocate_act(t, shape.q_width());
  act_.gated = backend_->allocate_act(t, config_.intermediate_size);
  act_.last = backend_->allocate(b * hidden * sizeof(float));
  act_.ends = backend_->allocate(b * hidden * sizeof(float));
  act_.logits =
      backend_->allocate(b * std::max(logits_stride(config_.vocab_size), hidden) * sizeof(float));
  act_.distances = backend_->allocate(b * sizeof(float));
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
  backend_->forget();
  rope_positions_ = 0;
  rope_cos_ = backend_->upload(cos);
  rope_sin_ = backend_->upload(sin);
  rope_positions_ = seq_len;
}

void run_all(Model& model, const std::vector<uint32_t>& seeds, size_t seq_len, const Output& output,
             float* out) {
  const size_t width = model.output_width(output.kind);
  const uint32_t* permutation =
      output.kind == OutputKind::distance ? output.permutation_seeds.data() : nullptr;
  for (size_t done = 0; done < seeds.size();) {
    const size_t sequences = model.sequences_of_pass(seq_len, seeds.size() - done);
    model.begin({seeds.data() + done, permutation ? permutation + done : nullptr,
                 output.target_seed, sequences, seq_len, output.kind, out + done * width},
                [](size_t) {});
    model.collect();
    done += sequences;
  }
}

}  // namespace proofmill
