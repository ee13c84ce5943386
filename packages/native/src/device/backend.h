// What a device must be able to do for the forward pass in model.cc: one declaration per operation.
//
// Matrices are row-major. Pointers are to memory of the device. Operations may be carried out later
// than they are asked for, but in that order.
//
// Every operation is deterministic, and every output row depends on its own sequence alone: never
// on T, on its place among the rows, or on how the work is shared out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cut.h"
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
  Buffer bias;  // [out_features], or empty

  explicit operator bool() const { return out_features != 0; }
};

// Rows of activations in the precision of matrix inputs: how they are stored is the backend's
// business.
struct Act {
  Buffer data;
  size_t width = 0, stride = 0;  // of a row, in elements; what lies between them is zero
  bool wide = false;             // float32 now, for backends that store more than one type
  // For backends that norm in the next product: each row is yet to be divided by the root of its
  // mean square, whose sum over the row is that of its `parts` here; 0: it is normed.
  Buffer squares = {};  // [rows, parts] f32
  size_t parts = 0;
  float eps = 0.0f;
};

// How the rows of q, k and v lie in one token's row of the fused projection:
// [num_heads * head_dim | num_kv_heads * head_dim | num_kv_heads * head_dim].
struct AttentionShape {
  size_t num_heads, num_kv_heads, head_dim;

  size_t q_width() const { return num_heads * head_dim; }
  size_t kv_width() const { return num_kv_heads * head_dim; }
};

// What becomes of every head of q and k before attention: its norm over head_dim (weight null:
// none), and its turn to its position.
struct Heads {
  AttentionShape shape;
  size_t seq_len;
  const float *q_norm, *k_norm;  // [head_dim] or null
  float eps;
  const float *cos, *sin;  // [positions, head_dim / 2]
};

// How nonces of one length are taken together.
struct Batching {
  size_t sequences;  // at most in one pass: so many share the product with lm_head
  size_t chunk;      // of these, so many share the products of the layers
  // Products have these very shapes in every pass, whatever is missing; else passes of fewer nonces
  // have fewer rows.
  bool fixed;
  // A chunk is short enough to be recorded and replayed as a whole: it is cut between chunks only.
  bool replayed;
};

// The most that goes through a model together on a CPU: so many tokens, or one sequence, and so
// many sequences.
struct PassLimits {
  size_t tokens = 1, sequences = 1;
};

// Memory that something takes: numbers in the precision of matrix inputs, and float32 ones.
struct Footprint {
  size_t elements = 0, floats = 0;
};

// The sizes of a pass that operations take memory of their own for.
struct PassSizes {
  size_t tokens, seq_len;  // of a chunk, of a sequence
  size_t head_dim;
  size_t gate_up;  // columns of gate and up together
  size_t widest;   // the most columns that a product's input and output have together
};

// Of one pass; `permutation` is null where no distances are wanted.
struct Seeds {
  const uint32_t* inputs;
  const uint32_t* permutation;
  uint32_t target;
  size_t count;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // A tag that differs wherever bits can.
  virtual std::string arithmetic() const = 0;
  virtual std::string device() const = 0;
  virtual Batching batching(size_t seq_len) const = 0;
  // Operations per second of matrix products at this precision at their best, measured now.
  virtual double peak_flops() = 0;
  // Bytes of the device's memory that are in use by this backend.
  virtual size_t memory_in_use() const = 0;
  // Bytes of the device's memory that may still be taken; infinite where the process knows better.
  virtual double memory_left() const = 0;
  // Bytes that these numbers take, and what operations take beside them while a pass is at work.
  virtual size_t bytes(const Footprint& of) const = 0;
  virtual size_t scratch_bytes(const PassSizes& sizes) const = 0;

  // --- Memory and weights ---
  // Throws, with both numbers, when weights and so many bytes for a pass will not fit; asked before
  // a model is loaded.
  virtual void expect(const Footprint& weights, size_t pass_bytes) = 0;
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

  // --- A pass ---
  // Set, by another thread, when the pass that is being begun is not wanted any more: operations
  // then do less or nothing, and what they leave is of no use.
  Cut cut;
  // Called between pieces of a pass. A device that is given work ahead waits here until little
  // enough is ahead, so that a cut frees it soon. Returns false once the pass is cut.
  virtual bool step() { return !cut.made(); }
  // Passes that may be under way at once: so many may be begun before the first is collected.
  virtual size_t depth() const { return 1; }
  // Begins a pass: these are the seeds that `inputs` and `distances` use. They are copied.
  virtual void begin(const Seeds& seeds, size_t vocab) = 0;
  // Runs operations that are the same for every pass with this key, so that a device may record
  // them once and replay them. Whoever frees a buffer that they use calls `forget` first.
  virtual void replay(uint64_t key, const std::function<void()>& operations) {
    (void)key;
    operations();
  }
  virtual void forget() {}
  // Gives back what `scratch_bytes` speaks of.
  virtual void trim() {}
  // Ends a pass: out [rows, width] = values, whose rows are `stride` floats apart, by the time
  // `collect` returns.
  virtual void finish(const float* values, size_t stride, size_t rows, size_t width,
                      float* out) = 0;
  // Waits for the pass that was begun first.
  virtual void collect() = 0;
  // Waits for all that was asked for, so that a clock can be read.
  virtual void synchronize() {}

  // --- Forward ---
  // x [sequences, numbers_each] f32: normals under the seeds from `first` on, rounded to the
  // precision.
  virtual void inputs(size_t first, size_t sequences, size_t numbers_each, float* x) = 0;
  // out [rows, width] = x [rows, width] / sqrt(mean(x^2) + eps) * weight
  virtual void rms_norm(const float* x, size_t rows, size_t width, const float* weight, float eps,
                        Act& out) = 0;
  // out [rows, width] f32 = rows of x that are `x_stride` floats apart.
  virtual void gather_rows(const float* x, size_t x_stride, size_t rows, size_t width,
                           float* out) = 0;
  // out [rows, N], from its column `column` on, = a [rows, K] * w^T + bias, where out's columns are
  // those of q, k and v; its rows are the last `queries` positions of each sequence. Heads of q and
  // k may be normed and turned here already, else `attention` does it.
  virtual void project(const Act& a, const Linear& w, size_t rows, Act& out, size_t column,
                       const Heads& heads, size_t queries) = 0;
  // out [rows, N] f32, rows `out_stride` floats apart = a [rows, K] * w^T.
  virtual void linear(const Act& a, const Linear& w, size_t rows, float* out,
                      size_t out_stride) = 0;
  // x [rows, N] f32 += a [rows, K] * w^T.
  virtual void linear_add(const Act& a, const Linear& w, size_t rows, float* x) = 0;
  // The same, then normed [rows, N] = x / sqrt(mean(x^2) + eps) * weight: a layer's norm follows
  // every addition but the last.
  virtual void linear_add_norm(const Act& a, const Linear& w, size_t rows, float* x,
                               const float* weight, float eps, Act& normed) {
    linear_add(a, w, rows, x);
    rms_norm(x, rows, w.out_features, weight, eps, normed);
  }
  // out [rows, F] = silu(a * gate^T) * (a * up^T), rounded to the precision.
  virtual void linear_swiglu(const Act& a, const Linear& gate_up, size_t rows, Act& out) = 0;
  // Causal attention of each sequence over itself, out [sequences * queries, q_width].
  struct Attention {
    const Heads& heads;
    size_t sequences, queries;  // the last `queries` positions of each sequence
    // What `project` wrote: q is [sequences * queries, q_width ...], and of qkv, [sequences *
    // seq_len, q_width + 2 kv_width], k and v are read. They may change.
    Act &q, &qkv;
  };
  virtual void attention(const Attention& args, Act& out) = 0;
  // distances [rows] of logits [rows, vocab], whose rows are `stride` floats apart, under the seeds
  // of this pass; NaN where logits are not finite or all zero.
  virtual void distances(const float* logits, size_t stride, size_t rows, size_t vocab,
                         float* distances) = 0;
  // Indices of [0, n) in ascending order of their hash, as `distances` sees them; for checks.
  virtual std::vector<uint32_t> permutation(uint32_t seed, size_t n) = 0;
  // Widens rows of an activation to float32, for results that leave the model.
  virtual void widen(const Act& a, size_t rows, float* out) = 0;
};

// Throws when the ISA is unknown or this CPU lacks it; "" picks the best.
std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const std::string& isa, PassLimits limits = {});
std::vector<std::string> cpu_isas();

}  // namespace proofmill
