// The CPU's kernels: each works on one share of an operation, on one thread. One table per ISA.
// Activations are float32 here; in bfloat16 precision their values are rounded to bf16.
#pragma once

#include <cstddef>
#include <cstdint>

namespace proofmill {

// Columns of a packed panel of weights or keys.
constexpr size_t kPanelColumns = 16;
// Steps of k between which a block's sums rest in the scratch; a panel of them fits the L1.
constexpr size_t kBlockDepth = 256;
// Rows and columns of one share of a matrix product: its operands and sums fit the L2.
constexpr size_t kBlockRows = 384;
constexpr size_t kBlockPanels = 16;

// out [rows, columns] = a [rows, depth] * b^T, one block. Every sum runs over k = 0, 1, ... in that
// order, alone in its lane, so its bits do not depend on the block.
struct GemmBlock {
  const float* a;
  size_t a_stride, rows, depth;
  const void* b;  // [panels, depth, kPanelColumns], bf16 or float32
  bool b_is_bf16;
  size_t panels;
  float* widened;  // [kBlockDepth, kPanelColumns] scratch: one panel, in the L1
  float* sums;     // [rows, panels * kPanelColumns] scratch

  enum class Epilogue { store, add, swiglu } epilogue;
  const float* bias;  // [columns] or null; store only
  float* out;         // the block's first element
  size_t out_stride;
  size_t columns;   // of out: panels * kPanelColumns or less; half of that for swiglu
  bool round_bf16;  // the output, for swiglu
};

struct NormRopeRows {
  float* x;
  size_t x_stride, first_row, rows, heads, head_dim;
  const float *weight, *cos, *sin;
  float eps;
  size_t first_position, seq_len;
};

// One key/value head of one sequence, with every query head that reads it.
struct AttentionHead {
  const float *q, *k, *v;  // this sequence's first row, this head's first column
  size_t q_stride, kv_stride, seq_len, queries, group, head_dim;
  float* scratch;  // attention_scratch_floats()
  float* out;
  size_t out_stride;
  bool round_bf16;
};

struct Kernels {
  const char* isa;
  // Whether multiply-adds round once: all ISAs with equal `fused` give equal bits.
  bool fused;
  // Pairs [begin, end) of the n normals of a seed, cosine half and sine half.
  void (*inputs)(uint32_t seed, size_t n, size_t begin, size_t end, bool round_bf16, float* out);
  void (*rms_norm)(const float* x, size_t x_stride, size_t rows, size_t width, const float* weight,
                   float eps, bool round_bf16, float* out);
  void (*gemm)(const GemmBlock& block);
  void (*norm_rope)(const NormRopeRows& rows);
  // Multiply-adds in registers alone, `rounds` times peak_flops_each of them: the ceiling of gemm.
  float (*peak)(size_t rounds);
  size_t peak_flops_each;
  size_t (*attention_scratch_floats)(size_t seq_len, size_t head_dim);
  void (*attention)(const AttentionHead& head);
};

// The tables of this build, best first; every one of them runs on this CPU.
const Kernels* const* available_kernels(size_t* count);

}  // namespace proofmill
