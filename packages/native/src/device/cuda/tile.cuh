// A tile of a matrix product while its sums are still in registers. A warpgroup holds 64 rows by
// 256 columns as Hopper's products leave them: sums[j * 4 + e] of thread `lane` in warp w is at row
// 16 w + lane / 4 + e / 2 * 8, column j * 8 + lane % 4 * 2 + e % 2.
#pragma once

#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

constexpr int kTileColumns = 256;
constexpr int kTileSums = 64 * kTileColumns / 128;  // of a thread

struct Tile {
  float (&sums)[kTileSums];
  int row, column;  // the thread's first row, the tile's first column
  int rows, n;      // of the product

  __device__ __forceinline__ float& at(int group, int half, int e) const {
    return sums[group * 4 + half * 2 + e];
  }
  __device__ __forceinline__ static int lane() { return static_cast<int>(threadIdx.x) % 4; }
};

// The sum over the four threads that share a row.
__device__ __forceinline__ float row_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

// The tile's values in bf16 to rows of `to`, `stride` apart; `vectors`: groups of eight columns are
// aligned to 16 bytes, and n is a multiple of 8.
__device__ __forceinline__ void store_rounded(const Tile& tile, bf16* to, size_t stride,
                                              bool vectors) {
  const int lane = Tile::lane();
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int own = tile.row + half * 8;
    bf16* row = to + static_cast<size_t>(own) * stride;
    if (vectors) {
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j += 4) {
        uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          words[i] = pack_bf16(tile.at(j + i, half, 0), tile.at(j + i, half, 1));
        }
        const uint4 group = gather_group(words[0], words[1], words[2], words[3]);
        const int column = tile.column + (j + lane) * 8;
        if (own < tile.rows && column < tile.n) *reinterpret_cast<uint4*>(row + column) = group;
      }
    } else if (own < tile.rows) {
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const int column = tile.column + j * 8 + lane * 2 + e;
          if (column < tile.n) row[column] = from_float<bf16>(tile.at(j, half, e));
        }
      }
    }
  }
}

// A norm that the rows of a product's left operand still lack. It is made up for afterwards: a
// row's sums are multiplied by 1 / its root mean square.
struct RowNorm {
  const float* squares;  // [rows, parts]: sums of squares over parts of each row; null: none lack
  int parts;
  float width, eps;

  // The factors of this thread's two rows. They are read before the sums are there, so that nothing
  // waits for them.
  __device__ __forceinline__ float2 factors(int row, int rows) const {
    float2 of = make_float2(1.0f, 1.0f);
    if (squares == nullptr) return of;
    of.x = factor(row, rows);
    of.y = factor(row + 8, rows);
    return of;
  }
  __device__ __forceinline__ float factor(int row, int rows) const {
    float sum = 0.0f;
    if (row >= rows) return sum;
#pragma unroll 4
    for (int i = 0; i < parts; i++) {
      // Not read_only: an earlier kernel may still write them when this one begins.
      sum += squares[static_cast<size_t>(row) * parts + i];
    }
    return inverse_sqrt(sum / width + eps);
  }
};

__device__ __forceinline__ void scale_rows(const Tile& tile, float2 factors) {
#pragma unroll
  for (int j = 0; j < kTileColumns / 8; j++) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      tile.at(j, 0, e) *= factors.x;
      tile.at(j, 1, e) *= factors.y;
    }
  }
}

__device__ __forceinline__ void add_bias(const Tile& tile, const bf16* bias) {
  if (bias == nullptr) return;
#pragma unroll
  for (int j = 0; j < kTileColumns / 8; j++) {
#pragma unroll
    for (int e = 0; e < 2; e++) {
      const int column = tile.column + j * 8 + Tile::lane() * 2 + e;
      const float add = column < tile.n ? to_float(read_only(bias + column)) : 0.0f;
      tile.at(j, 0, e) += add;
      tile.at(j, 1, e) += add;
    }
  }
}

}  // namespace proofmill::cuda
