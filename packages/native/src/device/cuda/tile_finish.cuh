// What is left of a product of few rows when its sums are in memory: the epilogue, on tiles as the
// kernel for many rows has them, so that no bit depends on which of the two was chosen.
//
// Who includes this has hopper.cuh's waits for other kernels, or the emulation's.
#pragma once

#include "tile_addition.cuh"

namespace proofmill::cuda::hopper {

constexpr int kFinishRows = 16;  // of a warp, which is a block

// sums [rows, n], whose rows begin on 8 bytes and hold an even number.
template <class Epilogue>
__global__ void __launch_bounds__(kWarp)
    finish_kernel(const float* in, size_t stride, int rows, int n, const Epilogue epilogue) {
  let_next_kernel_begin();
  wait_for_last_kernel();
  const int row = static_cast<int>(blockIdx.y) * kFinishRows + static_cast<int>(threadIdx.x) / 4;
  float sums[kTileSums];
  const Tile tile{sums, row, static_cast<int>(blockIdx.x) * kTileColumns, rows, n};
  // Adds, or copies, the two numbers of `from` at each place of the tile.
  const auto each = [&](const float* from, size_t from_stride, auto take) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = row + half * 8;
      const float* at_row = from + static_cast<size_t>(own) * from_stride;
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j++) {
        const int column = tile.column + j * 8 + Tile::lane() * 2;
        float2 two = make_float2(0.0f, 0.0f);
        if (own < rows && column < n) two = *reinterpret_cast<const float2*>(at_row + column);
        take(tile.at(j, half, 0), two.x);
        take(tile.at(j, half, 1), two.y);
      }
    }
  };
  each(in, stride, [](float& sum, float value) { sum = value; });
  const float2 begun = epilogue.begin(row, rows);
  if constexpr (kAddsResidual<Epilogue>) {
    each(epilogue.x, epilogue.stride, [](float& sum, float value) { sum += value; });
  }
  epilogue(tile, begun);
}

template <class Epilogue>
void finish_tiles(const Device& device, const HopperProduct& p, const float* sums, size_t stride,
                  const Epilogue& epilogue) {
  const dim3 grid(static_cast<unsigned>(divide_up(p.n, size_t{kTileColumns})),
                  static_cast<unsigned>(divide_up(p.rows, size_t{kFinishRows})));
  launch_early(device, finish_kernel<Epilogue>, grid, kWarp, 0, sums, stride,
               static_cast<int>(p.rows), static_cast<int>(p.n), epilogue);
}

}  // namespace proofmill::cuda::hopper
