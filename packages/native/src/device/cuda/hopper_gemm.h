// Matrix products of bfloat16 on Hopper GPUs (compute capability 9.0), in one order of sums for
// every shape: see hopper_gemm.cuh. What follows a product is done while its sums are in registers.
#pragma once

#include "kernels.h"

namespace proofmill::cuda {

// a [rows, k] * w^T, w [n, k]; both in bf16, aligned to 16 bytes, rows beginning on 16 bytes;
// strides count elements.
struct HopperProduct {
  const bf16* a;
  size_t a_stride;
  // Null, or where rows of a have yet to be divided by their root mean square the sums of squares
  // of their parts, [rows, parts].
  const float* squares;
  size_t parts;
  float eps;
  const bf16* w;
  size_t w_stride;
  size_t rows, n, k;
  // For products of few rows room for their sums, aligned to 8 bytes, [rows,
  // hopper_sums_stride(n)]; the bits are the same without. Null: computed as products of many rows
  // are.
  float* sums = nullptr;
};

// Whether a product is faster as one of few rows, so that it should be given room for its sums.
bool hopper_few_rows(size_t rows, size_t k);
// The most rows that are few; with 0 none are.
constexpr size_t kHopperFewRows = 128;
constexpr size_t hopper_sums_stride(size_t n) { return divide_up(n, 2) * 2; }

// d [rows, n] = the product + bias [n] (null: none)
void hopper_product(const Device& device, const HopperProduct& product, const bf16* bias, bf16* d,
                    size_t stride);

// The same for columns of q, k and v, from `column` of them on; d points to that column.
// Heads of q and k are normed and rotated; rows are the last `positions` of each sequence, unless
// `at` [rows] says the position of each.
struct HopperHeads {
  HeadRope q, k;
  size_t column, q_width, kv_width;
  size_t seq_len, positions;
  const uint32_t* at = nullptr;
};
bool hopper_rotates_heads(size_t head_dim);  // whether it takes them; hopper_product takes all
void hopper_product_heads(const Device& device, const HopperProduct& product, const bf16* bias,
                          const HopperHeads& heads, bf16* d, size_t stride);

// d [rows, n / 2] = silu(gate) * up, w's rows being eight of gate, eight of up, and so on; d and
// its rows are aligned to 16 bytes, and n is a multiple of 16.
void hopper_product_swiglu(const Device& device, const HopperProduct& product, bf16* d,
                           size_t stride);

// d [rows, n] f32 = the product. Of few rows d itself may be the room for sums; it is, where pairs
// of d's columns are aligned to 8 bytes and n is even.
void hopper_product_float(const Device& device, const HopperProduct& product, float* d,
                          size_t stride);

// x [rows, n] f32 += the product. What the next product reads: next [rows, n] in bf16 = x * weight,
// whose rows, aligned to 16 bytes, are still to be divided by their root mean square: squares
// [rows, hopper_parts(n)]. With a null weight there is no next product.
struct HopperNext {
  const float* weight;
  bf16* next;
  size_t stride;
  float* squares;
};
size_t hopper_parts(size_t n);
// What such a norm's squares and the sums of few rows take, where no product has more columns.
size_t hopper_scratch_bytes(size_t rows, size_t n);
void hopper_product_add(const Device& device, const HopperProduct& product, float* x, size_t stride,
                        const HopperNext& next);

}  // namespace proofmill::cuda
