// Hopper's matrix products without its instructions: the same tiles, the same share of each thread,
// the same epilogues; and the sums of products of few rows, which the kernels' own source finishes.
#pragma once

#include "device/cuda/hopper_gemm.h"
#include "device/cuda/tile_addition.cuh"

namespace proofmill::cuda::hopper {

// Two warpgroups, each with 64 rows of a tile.
template <class Epilogue>
__global__ void gemm_kernel(HopperProduct p, Epilogue epilogue) {
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int row = static_cast<int>(blockIdx.y) * 128 + static_cast<int>(threadIdx.x) / 128 * 64 +
                  thread / 32 * 16 + thread % 32 / 4;
  const int column = static_cast<int>(blockIdx.x) * kTileColumns;
  float sums[kTileSums] = {};
  for (int i = 0; i < kTileSums; i++) {
    const size_t own = static_cast<size_t>(row + i % 4 / 2 * 8);
    const size_t at = static_cast<size_t>(column + i / 4 * 8 + thread % 4 * 2 + i % 2);
    if (own >= p.rows || at >= p.n) continue;
    for (size_t k = 0; k < p.k; k++) {
      sums[i] += to_float(p.a[own * p.a_stride + k]) * to_float(p.w[at * p.w_stride + k]);
    }
  }
  const Tile tile{sums, row, column, static_cast<int>(p.rows), static_cast<int>(p.n)};
  if constexpr (kAddsResidual<Epilogue>) {
    for (int i = 0; i < kTileSums; i++) {
      const int own = row + i % 4 / 2 * 8, at = column + i / 4 * 8 + thread % 4 * 2 + i % 2;
      if (own >= tile.rows || at >= tile.n) continue;
      sums[i] += epilogue.x[static_cast<size_t>(own) * epilogue.stride + at];
    }
  }
  epilogue(tile, epilogue.begin(row, static_cast<int>(p.rows)));
}

// Kernels run one after the other here.
inline void wait_for_last_kernel() {}
inline void let_next_kernel_begin() {}
template <class... Parameters, class... Arguments>
void launch_early(const Device& device, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                  size_t shared, const Arguments&... arguments) {
  PROOFMILL_LAUNCH(device, kernel, grid, threads, shared, arguments...);
}

// A thread for each sum; as on a GPU nothing is written for rows that are not there.
inline void sum_kernel(HopperProduct p, float* sums, size_t stride) {
  const size_t column = blockIdx.x * kWarp + threadIdx.x, row = blockIdx.y;
  if (column >= p.n) return;
  float sum = 0.0f;
  for (size_t k = 0; k < p.k; k++) {
    sum += to_float(p.a[row * p.a_stride + k]) * to_float(p.w[column * p.w_stride + k]);
  }
  sums[row * stride + column] = sum;
}

inline void multiply_thin(const Device& device, const HopperProduct& p, float* sums,
                          size_t stride) {
  const dim3 grid(static_cast<unsigned>(divide_up(p.n, kWarp)), static_cast<unsigned>(p.rows));
  PROOFMILL_LAUNCH(device, sum_kernel, grid, kWarp, 0, p, sums, stride);
}

template <class Epilogue>
void multiply_tiles(const Device& device, const HopperProduct& p, const Epilogue& epilogue) {
  const dim3 grid(static_cast<unsigned>(divide_up(p.n, kTileColumns)),
                  static_cast<unsigned>(divide_up(p.rows, 128)));
  PROOFMILL_LAUNCH(device, gemm_kernel<Epilogue>, grid, 256, 0, p, epilogue);
}

}  // namespace proofmill::cuda::hopper
