// Epilogues that add a tile to the residual stream, and prepare what the next product reads of it.
#pragma once

#include "tile.cuh"

namespace proofmill::cuda {

// x [rows, n] f32 += sums, and what the next product reads of it: next [rows, n] in bf16 = x *
// weight, whose rows then lack a RowNorm, and the sum of squares of each row's part in a tile.
struct Addition {
  float* x;
  size_t stride;
  const float* weight;  // [n]
  bf16* next;
  size_t next_stride;  // rows begin on 16 bytes, and hold whole groups of eight
  float* squares;      // [rows, parts]
  int parts;

  __device__ __forceinline__ void store_squares(const Tile& tile) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j++) {
        sum += tile.at(j, half, 0) * tile.at(j, half, 0);
        sum += tile.at(j, half, 1) * tile.at(j, half, 1);
      }
      sum = row_sum(sum);
      const int own = tile.row + half * 8;
      if (own < tile.rows && Tile::lane() == 0) {
        squares[static_cast<size_t>(own) * parts + tile.column / kTileColumns] = sum;
      }
    }
  }
};

// The product's kernel has added x's numbers to the sums already (kAddsResidual). Groups of four
// columns are aligned to 16 bytes, and n is a multiple of 4. kNext: something reads `next`.
template <bool kNext>
struct StoreAddition : Addition {
  explicit StoreAddition(const Addition& addition) : Addition(addition) {}

  __device__ __forceinline__ float2 begin(int, int) const { return make_float2(1.0f, 1.0f); }
  __device__ __forceinline__ void operator()(const Tile& tile, float2) const {
    const int lane = Tile::lane();
    const bool odd = lane % 2 != 0, high = lane >= 2;
    if constexpr (kNext) store_squares(tile);
#pragma unroll
    for (int j = 0; j < kTileColumns / 8; j += 4) {
      // Of two groups an even lane takes four columns of the first, an odd one of the second.
      const int own_columns[2] = {tile.column + (j + lane % 2) * 8 + lane / 2 * 4,
                                  tile.column + (j + 2 + lane % 2) * 8 + lane / 2 * 4};
      float4 weights[2];
#pragma unroll
      for (int pair = 0; pair < 2; pair++) {
        weights[pair] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if constexpr (kNext) {
          if (own_columns[pair] < tile.n) {
            weights[pair] = read_only(reinterpret_cast<const float4*>(weight + own_columns[pair]));
          }
        }
      }
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int own = tile.row + half * 8;
        const bool there = own < tile.rows;
        float* row = x + static_cast<size_t>(own) * stride;
        uint32_t words[2][2];
#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
          const int first = j + 2 * pair, second = first + 1;
          const float a = tile.at(first, half, 0), b = tile.at(first, half, 1);
          const float c = tile.at(second, half, 0), d = tile.at(second, half, 1);
          const float e = __shfl_xor_sync(kAllLanes, odd ? a : c, 1);
          const float f = __shfl_xor_sync(kAllLanes, odd ? b : d, 1);
          const float4 four = odd ? make_float4(e, f, c, d) : make_float4(a, b, e, f);
          if (there && own_columns[pair] < tile.n) {
            *reinterpret_cast<float4*>(row + own_columns[pair]) = four;
          }
          words[pair][0] = pack_bf16(four.x * weights[pair].x, four.y * weights[pair].y);
          words[pair][1] = pack_bf16(four.z * weights[pair].z, four.w * weights[pair].w);
        }
        if constexpr (kNext) {
          // Of four groups, lanes 0 and 1 take the first two, lanes 2 and 3 the others.
          const uint32_t e = __shfl_xor_sync(kAllLanes, high ? words[0][0] : words[1][0], 2);
          const uint32_t f = __shfl_xor_sync(kAllLanes, high ? words[0][1] : words[1][1], 2);
          const int column = tile.column + (j + lane / 2 * 2 + lane % 2) * 8;
          if (there && column < tile.n) {
            *reinterpret_cast<uint4*>(next + static_cast<size_t>(own) * next_stride + column) =
                high ? make_uint4(e, f, words[1][0], words[1][1])
                     : make_uint4(words[0][0], words[0][1], e, f);
          }
        }
      }
    }
  }
};

// The same for any n and alignment; here x's numbers are added. With a null weight nothing reads
// `next`.
struct AddPlainly : Addition {
  explicit AddPlainly(const Addition& addition) : Addition(addition) {}

  __device__ __forceinline__ float2 begin(int, int) const { return make_float2(1.0f, 1.0f); }
  __device__ __forceinline__ void operator()(const Tile& tile, float2) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = tile.row + half * 8;
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
          const int column = tile.column + j * 8 + Tile::lane() * 2 + e;
          if (own >= tile.rows || column >= tile.n) continue;
          float* at = x + static_cast<size_t>(own) * stride + column;
          *at = tile.at(j, half, e) += *at;
        }
      }
    }
    if (weight == nullptr) return;
    store_squares(tile);
#pragma unroll
    for (int j = 0; j < kTileColumns / 8; j++) {
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const int column = tile.column + j * 8 + Tile::lane() * 2 + e;
        const float factor = column < tile.n ? read_only(weight + column) : 0.0f;
        tile.at(j, 0, e) *= factor;
        tile.at(j, 1, e) *= factor;
      }
    }
    // Stores up to the end of the last group of eight, whose columns behind n are zero.
    const Tile whole{tile.sums, tile.row, tile.column, tile.rows, (tile.n + 7) / 8 * 8};
    store_rounded(whole, next, next_stride, true);
  }
};

// Whether the product's kernel adds x's numbers to the sums before it calls this epilogue.
template <class Epilogue>
constexpr bool kAddsResidual = false;
template <bool kNext>
constexpr bool kAddsResidual<StoreAddition<kNext>> = true;

}  // namespace proofmill::cuda
