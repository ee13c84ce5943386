#include "reference.h"

#include <algorithm>
#include <cmath>

#include "device/random.h"

namespace proofmill {

namespace {

using Matrix = std::vector<double>;  // row-major; the width is known where it is used

class Reference {
 public:
  explicit Reference(const ReferenceModel& model)
      : c_(model.config), tensors_(model.tensors), bf16_(model.precision == Precision::bfloat16) {}

  Matrix logits(const ReferenceInput& input) const {
    const char* name = c_.tie_word_embeddings ? "model.embed_tokens" : "lm_head";
    return linear(hidden(input), name, c_.vocab_size, c_.hidden_size, false);
  }

  Matrix hidden(const ReferenceInput& input) const {
    const size_t seq_len = input.seq_len;
    const size_t hidden = c_.hidden_size, width = c_.head_dim, half = width / 2;
    const size_t heads = c_.num_attention_heads, kv_heads = c_.num_key_value_heads;
    Matrix x = inputs(input.seeds, seq_len * hidden);
    for (size_t i = 0; i < c_.num_hidden_layers; i++) {
      const std::string at = "model.layers." + std::to_string(i) + ".";
      const std::string attn = at + "self_attn.";
      const Matrix normed = norm(x, at + "input_layernorm.weight", hidden);
      Matrix q = linear(normed, attn + "q_proj", heads * width, hidden, c_.qkv_bias);
      Matrix k = linear(normed, attn + "k_proj", kv_heads * width, hidden, c_.qkv_bias);
      const Matrix v = linear(normed, attn + "v_proj", kv_heads * width, hidden, c_.qkv_bias);
      if (c_.qk_norm) {
        q = norm(q, attn + "q_norm.weight", width);
        k = norm(k, attn + "k_norm.weight", width);
      }
      rotate(q, heads, half);
      rotate(k, kv_heads, half);
      Matrix mixed(seq_len * heads * width, 0.0);
      for (size_t t = 0; t < seq_len; t++) {
        for (size_t h = 0; h < heads; h++) {
          const size_t kv = h / (heads / kv_heads);
          std::vector<double> weight(t + 1);
          double top = -INFINITY, sum = 0;
          for (size_t s = 0; s <= t; s++) {
            for (size_t d = 0; d < width; d++) {
              weight[s] += q[(t * heads + h) * width + d] * k[(s * kv_heads + kv) * width + d];
            }
            weight[s] /= std::sqrt(static_cast<double>(width));
            top = std::fmax(top, weight[s]);
          }
          for (double& w : weight) sum += w = std::exp(w - top);
          for (size_t s = 0; s <= t; s++) {
            for (size_t d = 0; d < width; d++) {
              mixed[(t * heads + h) * width + d] +=
                  weight[s] / sum * v[(s * kv_heads + kv) * width + d];
            }
          }
        }
      }
      add(x, linear(mixed, attn + "o_proj", hidden, heads * width, false));
      const Matrix post = norm(x, at + "post_attention_layernorm.weight", hidden);
      const Matrix up = linear(post, at + "mlp.up_proj", c_.intermediate_size, hidden, false);
      Matrix gated = linear(post, at + "mlp.gate_proj", c_.intermediate_size, hidden, false);
      for (size_t j = 0; j < gated.size(); j++) gated[j] *= up[j] / (1 + std::exp(-gated[j]));
      add(x, linear(gated, at + "mlp.down_proj", hidden, c_.intermediate_size, false));
      if (!input.reflections.empty()) reflect(x, input.reflections.data() + i * hidden);
    }
    const Matrix ends(x.end() - static_cast<std::ptrdiff_t>(hidden), x.end());
    return norm(ends, "model.norm.weight", hidden);
  }

 private:
  double rounded(double x) const {
    const float f = static_cast<float>(x);
    return bf16_ ? rng::from_bf16(rng::to_bf16(f)) : f;
  }

  Matrix inputs(const std::vector<uint32_t>& seeds, size_t n) const {
    const size_t each = (n + seeds.size() - 1) / seeds.size();
    Matrix x;
    for (const uint32_t seed : seeds) {
      const Matrix stream = normals(seed, std::min(each, n - x.size()));
      x.insert(x.end(), stream.begin(), stream.end());
    }
    return x;
  }

  Matrix normals(uint32_t seed, size_t n) const {
    Matrix x(n);
    const uint32_t pairs = static_cast<uint32_t>((n + 1) / 2);
    for (uint32_t j = 0; j < pairs; j++) {
      const rng::SinCos pair = rng::normal_pair(rng::uniform(rng::hash(j, seed)),
                                                rng::uniform(rng::hash(j + pairs, seed)));
      x[j] = rounded(pair.cos);
      if (j + pairs < n) x[j + pairs] = rounded(pair.sin);
    }
    return x;
  }

  std::vector<float> read(const std::string& name, const std::vector<size_t>& shape) const {
    const Tensor& tensor = fetch(tensors_, name, shape);
    std::vector<float> values(tensor.elements());
    tensor.read(0, values.size(), values.data());
    return values;
  }

  Matrix norm(const Matrix& x, const std::string& name, size_t width) const {
    const std::vector<float> weight = read(name, {width});
    Matrix y(x.size());
    for (size_t row = 0; row < x.size(); row += width) {
      double squares = 0;
      for (size_t j = 0; j < width; j++) squares += x[row + j] * x[row + j];
      const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + c_.rms_norm_eps);
      for (size_t j = 0; j < width; j++) y[row + j] = x[row + j] * scale * weight[j];
    }
    return y;
  }

  Matrix linear(const Matrix& a, const std::string& name, size_t out, size_t in, bool bias) const {
    const std::vector<float> weight = read(name + ".weight", {out, in});
    const std::vector<float> offset =
        bias ? read(name + ".bias", {out}) : std::vector<float>(out, 0.0f);
    const size_t rows = a.size() / in;
    Matrix y(rows * out);
    for (size_t r = 0; r < rows; r++) {
      for (size_t n = 0; n < out; n++) {
        double sum = 0;
        for (size_t k = 0; k < in; k++) sum += rounded(a[r * in + k]) * rounded(weight[n * in + k]);
        y[r * out + n] = sum + offset[n];
      }
    }
    return y;
  }

  void rotate(Matrix& x, size_t heads, size_t half) const {
    for (size_t row = 0; row < x.size() / (2 * half); row++) {
      for (size_t j = 0; j < half; j++) {
        const double angle = static_cast<double>(row / heads) * c_.rope_inv_freq[j];
        double& a = x[row * 2 * half + j];
        double& b = x[row * 2 * half + half + j];
        const double rotated = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = rotated;
      }
    }
  }

  static void add(Matrix& x, const Matrix& y) {
    for (size_t i = 0; i < x.size(); i++) x[i] += y[i];
  }

  // Every row of x by the unit vector v [hidden_size].
  void reflect(Matrix& x, const float* v) const {
    const size_t width = c_.hidden_size;
    for (size_t row = 0; row < x.size(); row += width) {
      double along = 0;
      for (size_t i = 0; i < width; i++) along += x[row + i] * v[i];
      for (size_t i = 0; i < width; i++) x[row + i] -= 2 * along * v[i];
    }
  }

  const Config& c_;
  const TensorMap& tensors_;
  const bool bf16_;
};

}  // namespace

std::vector<float> reference_hidden(const ReferenceModel& model, const ReferenceInput& input) {
  model.config.check();
  const Matrix hidden = Reference(model).hidden(input);
  return {hidden.begin(), hidden.end()};
}

std::vector<float> reference_logits(const ReferenceModel& model, const ReferenceInput& input) {
  model.config.check();
  const Matrix logits = Reference(model).logits(input);
  return {logits.begin(), logits.end()};
}

}  // namespace proofmill
