// The CPU's kernels: each works on one share of an operation, on one thread. One table per ISA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cut.h"

namespace proofmill {

// Columns of a packed panel of weights or keys.
constexpr size_t kPanelColumns = 16;
// Rows and panels of one share of a matrix product, at most; its rows are a multiple of kRowStep,
// as tiles divide it.
constexpr size_t kBlockRows = 192;
constexpr size_t kBlockPanels = 4;
constexpr size_t kRowStep = 6;

// How a row of activations is stored: as float32, exact or rounded to bf16, or as bf16.
enum class Storage { exact, rounded, bf16 };

constexpr size_t size_of(Storage storage) { return storage == Storage::bf16 ? 2 : 4; }

// out [rows, columns] = a [rows, depth] * b^T, one block. Every sum runs over k in one order, alone
// in its lane, so its bits do not depend on the block: 0, 1, 2, 3, ... for float32 weights, 1, 0,
// 3, 2, ... for bf16.
struct GemmBlock {
  const void* a;  // float32, or bf16 where the kernels have `dot` and the weights are bf16
  size_t a_stride, rows, depth;  // an odd depth's rows are followed by a zero
  // [panels, depth, kPanelColumns] float32, or [panels, depth / 2 rounded up, kPanelColumns, 2]
  // bf16
  const void* b;
  bool b_is_bf16;
  size_t panels;

  enum class Epilogue { store, add, swiglu } epilogue;
  const float* bias;  // [columns] or null; store only
  void* out;          // the block's first element; float32 but for swiglu
  size_t out_stride;
  size_t columns;  // of out: panels * kPanelColumns or less; half of that for swiglu
};

// One key/value head of rows that follow each other in one sequence, with every query head that
// reads it. Rows of q and k are not yet normed nor rotated. q, k, v and the weights of the values
// are rounded to bf16 unless storage is exact.
//
// Keys and values are kept packed, in pages of page_keys keys of the sequence each: first all its
// keys, then all its values. A key's and a value's bits depend on its own row alone.
struct AttentionHead {
  // Of the first row, this head's first column.
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  size_t q_stride = 0, kv_stride = 0;
  size_t position = 0, rows = 0;  // of the first row of k and v; how many there are
  size_t queries = 0;             // q has the last so many of them, from its own first row on
  size_t group = 0, head_dim = 0;
  const float *q_norm = nullptr, *k_norm = nullptr;  // [head_dim] or null
  float eps = 0;
  const float *cos = nullptr, *sin = nullptr;  // [positions, head_dim / 2]
  char* pages = nullptr;   // of page 0, this head's part, aligned to 64 bytes: kv_page_bytes()
  size_t page_stride = 0;  // bytes from a page to the next
  size_t page_keys = 0;    // a multiple of kPanelColumns
  const uint32_t* blocks = nullptr;  // [positions / page_keys] the sequence's pages; null: only 0
  float* scratch = nullptr;          // [attention_scratch_floats()], aligned to 64 bytes
  void* out = nullptr;               // [queries], rows out_stride apart
  size_t out_stride = 0;
  Storage storage = Storage::exact;
  const Cut* cut = nullptr;  // looked at between tiles, since a long sequence takes seconds
};

// A loop of multiply-adds in registers alone, `rounds` times `flops_each` operations: no product
// can be faster.
struct Peak {
  float (*run)(size_t rounds);
  size_t flops_each;
};

struct Kernels {
  const char* isa;
  // Whether multiply-adds round once: all ISAs with equal `fused` give equal bits.
  bool fused;
  // Whether there is an instruction that multiplies bf16.
  bool dot;
  // Tries out on this CPU whether that instruction rounds as two multiply-adds do.
  bool (*dot_is_fma)();
  // Of the n normals of a seed: the two of each of the pairs [begin, end).
  void (*inputs)(uint32_t seed, size_t n, size_t begin, size_t end, bool round_bf16, float* out);
  void (*rms_norm)(const float* x, size_t x_stride, size_t rows, size_t width, const float* weight,
                   float eps, Storage storage, void* out, size_t out_stride);
  // The same after x -= 2 (x . v) v, v [width].
  void (*reflect_rms_norm)(float* x, size_t rows, size_t width, const float* v, const float* weight,
                           float eps, Storage storage, void* out, size_t out_stride);
  void (*gemm)(const GemmBlock& block);
  Peak peak, dot_peak;
  // Reads `bytes`, a multiple of 512 and aligned to 64, as fast as memory gives them.
  uint32_t (*read)(const char* memory, size_t bytes);
  size_t (*attention_scratch_floats)(size_t keys, size_t head_dim);
  size_t (*kv_page_bytes)(size_t keys, size_t head_dim, bool exact);
  // Puts the rows' keys and values into their pages.
  void (*pack_kv)(const AttentionHead& head);
  // Causal attention of the rows' queries, over pages that hold every key up to the last row's.
  void (*attend)(const AttentionHead& head);
};

// The tables of this build, best first; every one of them runs on this CPU.
const Kernels* const* available_kernels(size_t* count);

}  // namespace proofmill
