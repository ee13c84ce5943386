#include "weights.h"

#include "device/error.h"

namespace proofmill {

namespace {

std::string shape_text(const std::vector<size_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

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

Weights load_weights(const Config& c, const TensorMap& tensors, Backend& backend,
                     const std::function<void(size_t layers)>& on_layer) {
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
    if (on_layer) on_layer(i + 1);
  }
  weights.norm = backend.upload(tensor("model.norm.weight", {c.hidden_size}));
  const char* table = "model.embed_tokens.weight";
  const char* head = c.tie_word_embeddings ? table : "lm_head.weight";
  weights.lm_head = backend.pack({tensor(head, {c.vocab_size, c.hidden_size})}, {});
  if (!c.tie_word_embeddings && tensors.count(table)) {
    weights.embed_tokens = backend.pack({tensor(table, {c.vocab_size, c.hidden_size})}, {});
  }
  return weights;
}

}  // namespace proofmill
