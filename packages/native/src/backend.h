// What a device must be able to do for the forward pass in model.cc: one declaration per operation.
//
// Matrices are row-major. T = tokens in the micro-batch (sequences * seq_len), or the number of
// sequences where only last positions are left. `Act` is an activation in the precision of matrix
// inputs: its storage is the backend's business, its values are rounded to that precision.
//
// Every operation is deterministic, and every output row depends on its own sequence alone: never
// on T, on its place among the rows, or on how the work is shared out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor.h"

namespace proofmill {

// Memory of the device, aligned to 64 bytes; freed with its owner.
struct Buffer {
  std::unique_ptr<void, void (*)(void*)> memory{nullptr, [](void*) {}};
  size_t bytes = 0;

  template <class T>
  T* as() const {
    return static_cast<T*>(memory.get());
  }
};

// The matrix of a linear layer, [out_features, in_features], in the backend's packed layout.
struct Linear {
  size_t out_features = 0, in_features = 0;
  Buffer packed;
  Buffer bias;  // [out_features] f32, or empty

  explicit operator bool() const { return out_features != 0; }
};

struct Act {
  Buffer data;  // [rows, stride], stride set at each use
};

// How the rows of q, k and v lie in one token's row of the fused projection:
// [num_heads * head_dim | num_kv_heads * head_dim | num_kv_heads * head_dim].
struct AttentionShape {
  size_t num_heads, num_kv_heads, head_dim;

  size_t q_width() const { return num_heads * head_dim; }
  size_t kv_width() const { return num_kv_heads * head_dim; }
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string arithmetic() const = 0;
  virtual std::string device() const = 0;

  // --- Memory and weights ---
  virtual Buffer allocate(size_t bytes) = 0;
  virtual Act allocate_act(size_t rows, size_t width) = 0;
  // A vector of weights as float32, e.g. a norm's.
  virtual Buffer upload(const Tensor& tensor) = 0;
  virtual Buffer upload(const std::vector<float>& values) = 0;
  // Stacks matrices of equal in_features: one product for q, k and v. `biases` is empty or has one
  // vector for each matrix.
  virtual Linear pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases) = 0;
  // gate and up, [F, D] each, laid out for linear_swiglu.
  virtual Linear pack_gate_up(const Tensor& gate, const Tensor& up) = 0;

  // --- Forward ---
  // x [sequences * seq_len, D] f32: normals under each seed, rounded to the precision.
  virtual void inputs(const uint32_t* seeds, size_t sequences, size_t numbers_each, float* x) = 0;
  // out [T, D] = x / sqrt(mean(x^2) + eps) * weight. x rows are `x_stride` floats apart.
  virtual void rms_norm(const float* x, size_t x_stride, size_t rows, size_t width,
                        const float* weight, float eps, Act& out) = 0;
  // out [rows, width] f32 = rows of x that are `x_stride` floats apart.
  virtual void gather_rows(const float* x, size_t x_stride, size_t rows, size_t width,
                           float* out) = 0;
  // out [rows, N] f32, rows `out_stride` floats apart = a [rows, K] * w^T + bias.
  virtual void linear(const Act& a, const Linear& w, size_t rows, float* out,
                      size_t out_stride) = 0;
  // x [rows, N] f32 += a [rows, K] * w^T.
  virtual void linear_add(const Act& a, const Linear& w, size_t rows, float* x) = 0;
  // out [rows, F] = silu(a * gate^T) * (a * up^T), rounded to the precision.
  virtual void linear_swiglu(const Act& a, const Linear& gate_up, size_t rows, Act& out) = 0;
  // In place on `heads` consecutive heads that start at each row of x: the norm over head_dim
  // (weight null: none), then the rotation to positions[row]. cos, sin [positions, head_dim / 2].
  struct Rope {
    const float *weight, *cos, *sin;
    float eps;
    size_t first_position, seq_len;  // row r stands at first_position + r % seq_len
  };
  virtual void norm_rope(float* x, size_t x_stride, size_t rows, size_t heads, size_t head_dim,
                         const Rope& rope) = 0;
  // Causal attention of each sequence over itself. q [sequences * queries, ...]: the last `queries`
  // positions of each sequence; kv [sequences * seq_len, ...]: keys, and `kv_width` further values.
  // out [sequences * queries, num_heads * head_dim], rounded to the precision.
  struct Attention {
    AttentionShape shape;
    size_t sequences, seq_len, queries;
    const float* q;
    size_t q_stride;
    const float* k;
    const float* v;
    size_t kv_stride;
  };
  virtual void attention(const Attention& args, Act& out) = 0;
  // distances[i] of logits [rows, V] under permutation_seeds[i] and the target of target_seed;
  // NaN where logits are not finite or all zero.
  virtual void distances(const float* logits, size_t rows, size_t vocab,
                         const uint32_t* permutation_seeds, uint32_t target_seed,
                         float* distances) = 0;
  // Widens rows of an activation, for results that leave the model.
  virtual void read_act(const Act& a, size_t rows, size_t width, float* out) = 0;
};

// Throws when the ISA is unknown or this CPU lacks it; "" picks the best.
std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const std::string& isa);
std::vector<std::string> cpu_isas();
// Multiply-adds per second from registers, times two, on so many threads: what a matrix product on
// this ISA could reach at best. Takes about half a second.
double cpu_peak_flops(size_t threads, const std::string& isa);

}  // namespace proofmill
