// What a device does for a transformer: memory and weights, passes, and one declaration for each
// operation of the forward pass. What it does for a proof beside that is in proof_ops.h.
//
// Matrices are row-major. Pointers are to memory of the device. An operation may be carried out
// later than it is asked for; operations are carried out in the order in which they were asked for.
//
// Every operation is deterministic, and a row of its output depends on its own sequence alone:
// never on how many rows there are, on its place among them, or on how the work is shared out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cut.h"
#include "paged_rows.h"
#include "tensor.h"

namespace proofmill {

class ProofOps;

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

// Rows of activations in the precision of matrix inputs, stored as the backend likes.
struct Act {
  Buffer data;
  size_t width = 0, stride = 0;  // of a row, in elements; what lies between them is zero
  bool wide = false;             // float32 now, for backends that store more than one type
  // For backends that do half of a norm in the next product: each row has yet to be divided by its
  // root mean square. The sum of its squares is given as `parts` sums here; 0 parts: it is normed.
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

// What is done to every head of q and k before attention: its norm over head_dim (weight null:
// none), then RoPE's rotation by its position.
struct Heads {
  AttentionShape shape;
  size_t seq_len;
  const float *q_norm, *k_norm;  // [head_dim] or null
  float eps;
  const float *cos, *sin;  // [positions, head_dim / 2]
  // [rows] each row's position; null: rows are the last positions of sequences of seq_len.
  const uint32_t* positions = nullptr;
};

// How sequences of one length are taken together.
struct Batching {
  size_t sequences;  // the most that go through the model in one pass
  // Every pass computes that many sequences, also where fewer are wanted: its products always have
  // the same shapes. Otherwise a pass of fewer sequences computes fewer rows.
  bool fixed;
  // The layers of a pass are short enough to be recorded and run as one graph. Others can be cut
  // between their operations.
  bool recorded;
};

// How tokens of all sessions go through a model together.
struct Steps {
  // The most of them: enough for products to be nearly as fast as a search's, and few enough for
  // those who wait for their next token.
  size_t rows = 256;
  // Every step has as many, missing ones being filled up, because bits could depend on how many
  // there are. Then they should be few: one decoded token costs as much as all.
  bool fixed = false;
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

// The sizes of a pass that decide how much memory operations take for themselves.
struct PassSizes {
  size_t tokens, seq_len;  // of all its sequences, of one
  size_t head_dim;
  size_t gate_up;  // columns of gate and up together
  size_t widest;   // the most columns that a product's input and output have together
};

class Backend {
 public:
  virtual ~Backend() = default;

  // A tag that differs wherever bits can.
  virtual std::string arithmetic() const = 0;
  virtual std::string device() const = 0;
  virtual Batching batching(size_t seq_len) const = 0;
  virtual Steps steps() const { return {}; }
  // Operations per second of matrix products at this precision at their best, measured now.
  virtual double peak_flops() = 0;
  // Bytes per second at which the device reads memory that no cache holds, measured now: no product
  // of few rows can go through weights faster.
  virtual double read_bandwidth() = 0;
  // Bytes of the device's memory that are in use, by anyone.
  virtual size_t memory_in_use() const = 0;
  // Bytes of the device's memory that may still be taken; infinite where the process knows better.
  virtual double memory_left() const = 0;
  // Bytes that these numbers take, and what operations take beside them during a pass.
  virtual size_t bytes(const Footprint& of) const = 0;
  virtual size_t scratch_bytes(const PassSizes& sizes) const = 0;
  virtual ProofOps& proof_ops() = 0;

  // --- Memory and weights ---
  // Throws, with both numbers, where weights and so many bytes for a pass will not fit; asked
  // before a model is loaded.
  virtual void require_memory(const Footprint& weights, size_t pass_bytes) = 0;
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

  // --- A pass: begin_pass, copies in, operations, copy_out, and later wait_pass ---
  // Set, by another thread, when the pass that is being asked for is not wanted any more:
  // operations then do less or nothing, and what they leave is of no use.
  Cut cut;
  // Called between pieces of a pass. A device that is given work ahead waits here until little
  // enough is ahead, so that it is soon free after a cut. Returns false once the pass is cut.
  virtual bool throttle() { return !cut.made(); }
  // How many passes may be under way: begun, and not waited for. At least 1.
  virtual size_t depth() const { return 1; }
  virtual void begin_pass() = 0;
  // Copies into a buffer, before the operations that follow and after those asked for so far.
  // `from` is not read any more when this returns.
  virtual void copy_in(const void* from, size_t bytes, const Buffer& to) = 0;
  // Runs operations that are the same for every pass with this key, at the same addresses, so that
  // a device may record them as a graph and run that. Whoever frees a buffer that they use calls
  // `discard_graphs` first.
  virtual void run_recorded(uint64_t key, const std::function<void()>& operations) {
    (void)key;
    operations();
  }
  // Waits for the passes under way and forgets what was recorded.
  virtual void discard_graphs() {}
  // Frees the memory that `scratch_bytes` speaks of.
  virtual void free_scratch() {}
  // Ends a pass: out [rows, width] = values, whose rows are `stride` floats apart, by the time
  // `wait_pass` returns.
  virtual void copy_out(const float* values, size_t stride, size_t rows, size_t width,
                        float* out) = 0;
  // Waits for the oldest pass under way.
  virtual void wait_pass() = 0;
  // Waits for all that was asked for, so that a clock can be read.
  virtual void synchronize() {}

  // --- The forward pass ---
  // out [rows, width] = x [rows, width] / sqrt(mean(x^2) + eps) * weight
  virtual void rms_norm(const float* x, size_t rows, size_t width, const float* weight, float eps,
                        Act& out) = 0;
  // x [rows, width] -= 2 (x . v) v for a unit vector v [width], and then out as above, of the x
  // that there is now. Each row is read once from far away.
  virtual void reflect_rms_norm(float* x, size_t rows, size_t width, const float* v,
                                const float* weight, float eps, Act& out) = 0;
  // out [rows, width] f32 = rows of x that are `x_stride` floats apart.
  virtual void gather_rows(const float* x, size_t x_stride, size_t rows, size_t width,
                           float* out) = 0;
  // Columns of q, k and v, from `column` of them on: out [rows, N] = a [rows, K] * w^T + bias. Rows
  // are the last `queries` positions of each sequence. Heads of q and k may be normed and rotated
  // here already; where they are not, `attention` does it.
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

  // --- Tokens, beside what a search needs ---
  // x [rows, in_features] f32 = rows `tokens` of a matrix that `pack` packed.
  virtual void embed(const Linear& table, const uint32_t* tokens, size_t rows, float* x) = 0;
  // out [rows, width] f32 = rows `at` of x.
  virtual void gather_rows_at(const float* x, size_t width, const uint32_t* at, size_t rows,
                              float* out) = 0;
  // Bytes that a page takes in one layer's cache, which is [pages, kv_page_bytes].
  virtual size_t kv_page_bytes(const AttentionShape& shape) const = 0;
  // Writes the rows' keys and values, from what `project` left in qkv [rows, q_width + 2 kv_width],
  // into their pages.
  virtual void keep_kv(const PagedRows& rows, const Heads& heads, const Act& qkv,
                       const Buffer& cache) = 0;
  // Causal attention of queries [rows, q_width ...] over the pages of their sequences, which hold
  // their own keys and values too; out [rows, q_width]. On a CPU the same bits as `attention`'s of
  // the whole sequence.
  virtual void attend_pages(const PagedRows& rows, const Heads& heads, const Act& q,
                            const Buffer& cache, Act& out) = 0;

  // out [rows, width] f32 = a, for values that leave the model.
  virtual void widen(const Act& a, size_t rows, float* out) = 0;
};

// Throws when the ISA is unknown or this CPU lacks it; "" picks the best.
std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const std::string& isa, PassLimits limits = {});
std::vector<std::string> cpu_isas();

}  // namespace proofmill
