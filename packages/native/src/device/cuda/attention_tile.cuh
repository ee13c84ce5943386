// What kernels of attention in the flash manner share: tiles of keys and values in shared memory,
// and what a warp does with them for 16 rows of queries on tensor cores.
//
// A warp's 16 rows lie in fragments: of scores and of what is mixed a lane has rows lane / 4 and 8
// below, columns lane % 4 * 2 and + 1 of every eight. Multiply-adds are written out where rounding
// depends on them, so that kernels that take these steps agree bit by bit.
#pragma once

#include "kernel.h"
#include "tensor_core.cuh"

namespace proofmill::cuda {

constexpr float kLog2E = 1.44269504f;

// Rows of tiles are padded by eight numbers, so that the eight rows of a matrix lie in different
// banks.
template <int kWidth>
constexpr int kTileStride = kWidth + 8;

// kRows rows of a head into shared memory, by kThreads threads; rows from `end` on and columns past
// head_dim are zero.
template <int kWidth, int kRows, int kThreads>
__device__ __forceinline__ void load_tile(const bf16* from, size_t stride, int end, int head_dim,
                                          bf16* tile) {
  constexpr int kStride = kTileStride<kWidth>, kChunks = kWidth / 8;
  constexpr int kSteps = kRows * kChunks / kThreads;
  static_assert(kSteps * kThreads == kRows * kChunks, "each thread has as many chunks");
  const int thread = static_cast<int>(threadIdx.x);
  if (head_dim % 8 == 0) {
    if constexpr (kThreads % kChunks == 0) {
      // A thread copies from one column alone.
      constexpr int kRowsApart = kThreads / kChunks;
      const int row = thread / kChunks, column = thread % kChunks * 8;
      const int left = column < head_dim ? end - row : 0;
      const bf16* at = from + static_cast<size_t>(row) * stride + column;
      bf16* to = tile + row * kStride + column;
#pragma unroll
      for (int step = 0; step < kSteps; step++) {
        copy16_async(to + step * kRowsApart * kStride, at, step * kRowsApart < left);
        at += kRowsApart * stride;
      }
    } else {
#pragma unroll
      for (int step = 0; step < kSteps; step++) {
        const int i = thread + step * kThreads, row = i / kChunks, column = i % kChunks * 8;
        copy16_async(tile + row * kStride + column,
                     from + static_cast<size_t>(row) * stride + column,
                     row < end && column < head_dim);
      }
    }
    return;
  }
  for (int i = thread; i < kRows * kChunks; i += kThreads) {
    const int row = i / kChunks, column = i % kChunks * 8;
    const bf16* at = from + static_cast<size_t>(row) * stride + column;
    for (int j = 0; j < 8; j++) {
      const bool wanted = row < end && column + j < head_dim;
      tile[row * kStride + column + j] = wanted ? at[j] : bf16{0};
    }
  }
}

// scores [16, kKeys] += queries [16, 16] * keys^T, both of the same 16 dimensions
template <int kWidth, int kKeys>
__device__ __forceinline__ void score_tile(const uint32_t (&queries)[4], const bf16* keys,
                                           float (&scores)[kKeys / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
  for (int n = 0; n < kKeys / 16; n++) {
    uint32_t b[4];  // keys n*16 .. +7 at dimensions 0 and 8, then keys n*16 + 8 .. +15
    load_matrices(
        b, keys + (n * 16 + lane / 16 * 8 + lane % 8) * kTileStride<kWidth> + lane / 8 % 2 * 8);
    mma(scores[2 * n], queries, b[0], b[1]);
    mma(scores[2 * n + 1], queries, b[2], b[3]);
  }
}

// What two rows of a lane have seen so far: the greatest score, and this lane's part of the sum of
// weights. `add` turns the scores of more keys into weights, and says in `shrink` by how much what
// was mixed before is to be taken less.
struct RunningRows {
  float highest[2] = {-INFINITY, -INFINITY}, sums[2] = {0.0f, 0.0f};

  template <int kGroups>
  __device__ __forceinline__ void add(float (&scores)[kGroups][4], float scale,
                                      float (&shrink)[2]) {
    float top[2] = {highest[0], highest[1]}, shift[2];
#pragma unroll
    for (int n = 0; n < kGroups; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) top[i / 2] = fmaxf(top[i / 2], scores[n][i]);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 2));
      // A row that has seen no key yet keeps sums and weights of 0.
      const float base = top[r] == -INFINITY ? 0.0f : top[r];
      shrink[r] = fast_exp2((highest[r] - base) * scale);
      highest[r] = top[r];
      shift[r] = base * scale;
    }
#pragma unroll
    for (int n = 0; n < kGroups; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        scores[n][i] = fast_exp2(fmaf(scores[n][i], scale, -shift[i / 2]));
        float& sum = sums[i / 2];
        sum = n == 0 && i % 2 == 0 ? fmaf(sum, shrink[i / 2], scores[n][i]) : sum + scores[n][i];
      }
    }
  }
};

// mixed [16, 16] = mixed * shrink + weights [16, kKeys] * 16 dimensions of the tile's values
template <int kWidth, int kKeys>
__device__ __forceinline__ void mix_tile(const uint32_t (&weights)[kKeys / 16][4],
                                         const bf16* values, const float (&shrink)[2],
                                         float (&mixed)[2][4]) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
  for (int n = 0; n < 2; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) mixed[n][i] *= shrink[i / 2];
  }
#pragma unroll
  for (int k = 0; k < kKeys / 16; k++) {
    uint32_t b[4];  // values at keys k*16 .. +7 and + 8, dimensions 0 .. 7, then 8 .. 15
    load_matrices_transposed(b,
                             values + (k * 16 + lane % 16) * kTileStride<kWidth> + lane / 16 * 8);
    mma(mixed[0], weights[k], b[0], b[1]);
    mma(mixed[1], weights[k], b[2], b[3]);
  }
}

// Weights as the left side of a product.
template <int kKeys>
__device__ __forceinline__ void pack_weights(const float (&scores)[kKeys / 8][4],
                                             uint32_t (&weights)[kKeys / 16][4]) {
#pragma unroll
  for (int k = 0; k < kKeys / 16; k++) {
    weights[k][0] = pack_bf16(scores[2 * k][0], scores[2 * k][1]);
    weights[k][1] = pack_bf16(scores[2 * k][2], scores[2 * k][3]);
    weights[k][2] = pack_bf16(scores[2 * k + 1][0], scores[2 * k + 1][1]);
    weights[k][3] = pack_bf16(scores[2 * k + 1][2], scores[2 * k + 1][3]);
  }
}

}  // namespace proofmill::cuda
