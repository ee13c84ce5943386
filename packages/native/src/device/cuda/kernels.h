// The GPU's kernels, each as a function that puts it into the device's stream. All pointers are to
// the device's memory and aligned to 16 bytes; strides count elements. T is bf16 or float, the
// precision of matrix inputs.
//
// Every sum is taken in an order that depends on the sizes of a row alone; there are no atomics on
// floating point. That is what makes a row's bits independent of its place and its neighbours.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device.h"
#include "device/paged_rows.h"
#include "device/proof_ops.h"

namespace proofmill::cuda {

// Rows of matrices begin on 16 bytes of bfloat16, as tensor cores want them.
constexpr size_t padded(size_t width) { return divide_up(width, 8) * 8; }

// As ProofOps says, rounded to T.
template <class T>
void inputs(const Device& device, const ProofOps::Inputs& of, float* x);

// out [count] in T: a matrix of random weights, elements [begin, begin + count) of Tensor::read's.
template <class T>
void random_weights(const Device& device, uint32_t seed, size_t begin, size_t count, T* out);

// out [rows, width] = x [rows, width] / sqrt(mean(x^2) + eps) * weight
template <class T>
void rms_norm(const Device& device, const float* x, size_t rows, size_t width, const float* weight,
              float eps, T* out, size_t out_stride);

// The same after x -= 2 (x . v) v for a unit vector v [width].
template <class T>
void reflect_rms_norm(const Device& device, float* x, size_t rows, size_t width, const float* v,
                      const float* weight, float eps, T* out, size_t out_stride);

// out [rows, width] = rows of x that are `x_stride` apart
void gather_rows(const Device& device, const float* x, size_t x_stride, size_t rows, size_t width,
                 float* out);

// out [rows, features] = silu(gate) * up, of gate_up [rows, 2 * features], whose columns are eight
// of gate, eight of up, and so on; features is a multiple of 8.
template <class T>
void swiglu(const Device& device, const T* gate_up, size_t stride, size_t rows, size_t features,
            T* out, size_t out_stride);

// out [rows, width] f32 = a
template <class T>
void widen(const Device& device, const T* a, size_t stride, size_t rows, size_t width, float* out);

// The norm over a head (weight null: none) and its rotation by the angles of a position.
struct HeadRope {
  const float* weight;     // [head_dim] or null
  const float *cos, *sin;  // [positions, head_dim / 2]
  float eps;
  int head_dim;  // even, at most kMaxHeadDim
};
constexpr int kMaxHeadDim = 256;

// In place on `heads` consecutive heads that start at each row of x; rows are the last `positions`
// of each sequence of seq_len, unless each row's position is given, at [rows].
template <class T>
void norm_rope(const Device& device, T* x, size_t stride, size_t rows, int heads, int seq_len,
               int positions, const uint32_t* at, const HeadRope& rope);

// Causal attention of each sequence over itself, out [sequences * queries, heads * head_dim].
// Queries and keys are normed and rotated already; queries are at the sequence's last `queries`
// positions.
template <class T>
struct AttentionArgs {
  const T *q, *k, *v;  // of the first sequence's first row, first head
  size_t q_stride, kv_stride;
  int sequences, seq_len, queries, heads, kv_heads;
  int head_dim;  // even, at most kMaxHeadDim
  T* out;
  size_t out_stride;
};
void attention(const Device& device, const AttentionArgs<bf16>& args);
void attention(const Device& device, const AttentionArgs<float>& args);

// x [rows, width] f32 = rows `tokens` of table
template <class T>
void embed(const Device& device, const T* table, size_t table_stride, const uint32_t* tokens,
           size_t rows, size_t width, float* x);
// out [rows, width] = rows `at` of x
void gather_rows_at(const Device& device, const float* x, size_t width, const uint32_t* at,
                    size_t rows, float* out);
// A cache is [pages, 2, kPageTokens, kv_width]: a page's keys, then its values. `keys` is the first
// row's, normed and rotated; a row's values follow its keys.
template <class T>
void keep_kv(const Device& device, const PagedRows& rows, const T* keys, size_t stride,
             size_t kv_width, T* cache);
// Backend's attend_pages; queries are normed and rotated. `parts` [attend_pages_parts] is scratch.
size_t attend_pages_parts(const PagedRows& rows, size_t heads, size_t head_dim);
template <class T>
struct PagedAttention {
  PagedRows rows;
  const T* q;
  size_t q_stride;
  T* cache;
  int heads, kv_heads;
  int head_dim;  // even, at most kMaxHeadDim
  T* out;
  size_t out_stride;
  float* parts;
};
template <class T>
void attend_pages(const Device& device, const PagedAttention<T>& of);

// distances [rows] f32 of logits [rows, vocab], `stride` apart, under permutation_seeds [rows];
// NaN where they are not finite or all zero. target [vocab], target_norm_squared [1].
// partial [rows, distance_parts(vocab) + 1] is scratch.
size_t distance_parts(const Device& device, size_t vocab);
void distances(const Device& device, const float* logits, size_t stride, size_t rows, size_t vocab,
               const uint32_t* permutation_seeds, const float* target,
               const double* target_norm_squared, double* partial, float* distances);
// out [n]: indices in ascending order of their hash, as `distances` sees them.
void permutation(const Device& device, const uint32_t* seed, size_t n, uint32_t* out);

// As ProofOps says.
void artifacts(const Device& device, const ProofOps::Artifacts& of, float* out);

// Reads `bytes`, a multiple of 16, and leaves sums [read_sums] of them, so that nothing is left
// out.
size_t read_sums(const Device& device);
void read_memory(const Device& device, const void* memory, size_t bytes, uint32_t* sums);

// For choosing matrix algorithms: out row r = a row (r * step + shift) % rows, and the number of
// rows of b where b's row r is not, bit by bit, a's row (r * step + shift) % rows.
template <class T>
void permute_rows(const Device& device, const T* a, size_t stride, size_t rows, size_t step,
                  size_t shift, T* out);
template <class T>
void count_differences(const Device& device, const T* a, const T* b, size_t stride, size_t rows,
                       size_t width, size_t step, size_t shift, uint32_t* count);

}  // namespace proofmill::cuda
