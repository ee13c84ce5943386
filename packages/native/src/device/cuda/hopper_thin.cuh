// The sums of a product of few rows, bfloat16 on Hopper: there reading w is all that takes time, so
// that every multiprocessor has to read its share of it.
//
// A block computes tiles of 64 rows by few columns, as few as give every multiprocessor about one.
// One warp asks the copy engine for what comes next along k, one warpgroup multiplies. Weights are
// asked for before the last kernel has ended. As in the wide kernel each sum runs over k in pieces
// of 64, so that it has the same bits.
#pragma once

#include <algorithm>

#include "hopper.cuh"
#include "hopper_gemm.h"
#include "hopper_launch.h"

namespace proofmill::cuda::hopper {

constexpr int kThinRows = 64, kThinDepth = 64;
constexpr int kThinThreads = 128 + 32;
constexpr int kMostStages = 16;
constexpr int kRowBytes = kThinDepth * static_cast<int>(sizeof(bf16));  // of a piece

// Pieces along k that are copied together: with few columns several, so that copies are not small.
__host__ __device__ constexpr int pieces_of_stage(int columns) { return columns <= 16 ? 4 : 2; }

// How a product is divided. A stage has `box_rows` rows of a, all there are up to 64, in its
// pieces, and then the columns of w.
struct ThinPlan {
  int columns;   // of a tile: 16, 32, 48 or 64
  int box_rows;  // a multiple of 8
  int stages;    // at least two: one is given free when the next is there

  size_t stage_bytes() const {
    return static_cast<size_t>(pieces_of_stage(columns) * (box_rows + columns) * kRowBytes);
  }
  // To be aligned, and what products read behind the last rows of a: of 64 rows those that are not
  // there are whatever follows, and their sums are not kept.
  size_t shared_bytes() const {
    return 1024 + static_cast<size_t>(stages) * stage_bytes() + kThinRows * kRowBytes;
  }
};

struct ThinProduct {
  int rows, n, k;
  ThinPlan plan;
  float* sums;  // [rows, n]; its rows begin on 8 bytes, and hold an even number
  size_t stride;
};

template <int kColumns>
__global__ void __launch_bounds__(kThinThreads, 1)
    thin_kernel(const __grid_constant__ CUtensorMap a_map,
                const __grid_constant__ CUtensorMap w_map, const ThinProduct of) {
  constexpr int kPieces = pieces_of_stage(kColumns);
  extern __shared__ __align__(16) unsigned char raw[];
  __shared__ uint64_t full[kMostStages], empty[kMostStages];
  unsigned char* const ring = reinterpret_cast<unsigned char*>(
      (reinterpret_cast<uintptr_t>(raw) + 1023) & ~uintptr_t{1023});
  const int stages = of.plan.stages;
  const uint32_t a_bytes = static_cast<uint32_t>(of.plan.box_rows * kRowBytes);  // of a piece
  const uint32_t stage_bytes = kPieces * (a_bytes + kColumns * kRowBytes);
  if (threadIdx.x == 0) {
    prefetch(&a_map);
    prefetch(&w_map);
    for (int i = 0; i < stages; i++) {
      init_barrier(&full[i], 1);
      init_barrier(&empty[i], 1);
    }
    publish_barriers();
  }
  __syncthreads();
  let_next_kernel_begin();

  const int pieces = of.k / kThinDepth;
  const int steps = (pieces + kPieces - 1) / kPieces;
  const int row_blocks = (of.rows + kThinRows - 1) / kThinRows;
  const int tiles = row_blocks * ((of.n + kColumns - 1) / kColumns);
  const int blocks = static_cast<int>(gridDim.x), first = static_cast<int>(blockIdx.x);
  const auto row_of = [&](int tile) { return tile % row_blocks * kThinRows; };
  const auto column_of = [&](int tile) { return tile / row_blocks * kColumns; };

  int stage = 0;
  uint32_t parity = 0;
  const auto next = [&] {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  };

  if (threadIdx.x >= 128) {
    if (threadIdx.x == 128) {
      const auto copy_w = [&](int tile, int step, int to) {
        expect_bytes(&full[to], stage_bytes);
        copy_box(ring + to * stage_bytes + kPieces * a_bytes, &w_map,
                 make_int3(0, column_of(tile), step * kPieces), &full[to]);
      };
      const auto copy_a = [&](int tile, int step, int to) {
        copy_box(ring + to * stage_bytes, &a_map, make_int3(0, row_of(tile), step * kPieces),
                 &full[to]);
      };
      // As many stages as there is room for at the beginning: weights first, which no kernel of a
      // pass writes, and what the last kernel has written when it has.
      int tile = first, step = 0;
      const auto advance = [&] {
        if (++step == steps) {
          step = 0;
          tile += blocks;
        }
      };
      int begun = 0;
      for (; begun < stages && tile < tiles; begun++, advance()) copy_w(tile, step, begun);
      wait_for_last_kernel();
      tile = first;
      step = 0;
      for (int i = 0; i < begun; i++, advance()) copy_a(tile, step, i);
      for (; tile < tiles; advance(), next()) {
        wait(&empty[stage], parity);
        copy_w(tile, step, stage);
        copy_a(tile, step, stage);
      }
    }
    return;
  }

  wait_for_last_kernel();
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  for (int tile = first; tile < tiles; tile += blocks) {
    float sums[kColumns / 2];
    int previous = -1, held = -1;  // stages
    for (int step = 0; step < steps; step++, next()) {
      wait(&full[stage], parity);
      const uint64_t a = matrix_of(ring + stage * stage_bytes);
      const uint64_t w = matrix_of(ring + stage * stage_bytes + kPieces * a_bytes);
      const int left = pieces - step * kPieces, count = left < kPieces ? left : kPieces;
      for (int piece = 0; piece < count; piece++) {
        const uint64_t a_piece = a + piece * (a_bytes >> 4);
        const uint64_t w_piece = w + piece * (kColumns * kRowBytes >> 4);
        begin_products();
#pragma unroll
        for (int i = 0; i < kThinDepth / 16; i++) {
          multiply(sums, a_piece + 2 * i, w_piece + 2 * i, step + piece + i > 0);
        }
        commit_products();
      }
      wait_products<kPieces>();
      // With as many products after it the stage before is multiplied: copies may overwrite it.
      if (count < kPieces) {
        held = previous;
      } else if (previous >= 0 && thread == 0) {
        arrive(&empty[previous]);
      }
      previous = stage;
    }
    wait_products<0>();
    settle(sums);
    if (thread == 0) {
      if (held >= 0) arrive(&empty[held]);
      arrive(&empty[previous]);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = row_of(tile) + thread / 32 * 16 + lane / 4 + half * 8;
      if (row >= of.rows) continue;
      float* const to = of.sums + static_cast<size_t>(row) * of.stride;
#pragma unroll
      for (int j = 0; j < kColumns / 8; j++) {
        const int column = column_of(tile) + j * 8 + lane % 4 * 2;
        if (column >= of.n) continue;
        *reinterpret_cast<float2*>(to + column) =
            make_float2(sums[j * 4 + half * 2], sums[j * 4 + half * 2 + 1]);
      }
    }
  }
}

// Fewest columns of w for the multiprocessor that has most of them; of equals the most to a tile.
// Tiles of 8 were never the fastest on an H100.
inline ThinPlan thin_plan(const Device& device, const HopperProduct& p) {
  // Of a multiprocessor's memory; half of it leaves room for the next kernel's block, which asks
  // for its weights meanwhile. Where rows take much themselves, more stages are worth more.
  constexpr size_t kHalf = 112 * 1024, kAll = 224 * 1024, kRowsOfHalf = 16;
  const size_t processors = static_cast<size_t>(device.multiprocessors);
  const size_t row_blocks = divide_up(p.rows, kThinRows);
  ThinPlan plan{64, static_cast<int>(std::min<size_t>(divide_up(p.rows, 8) * 8, kThinRows)), 0};
  size_t fewest = 0;
  for (const int columns : {64, 48, 32, 16}) {
    const size_t tiles = row_blocks * divide_up(p.n, static_cast<size_t>(columns));
    const size_t most = divide_up(tiles, processors) * static_cast<size_t>(columns);
    if (fewest != 0 && most >= fewest) continue;
    fewest = most;
    plan.columns = columns;
  }
  const size_t room = p.rows <= kRowsOfHalf ? kHalf : kAll;
  const size_t stages = (room - plan.shared_bytes()) / plan.stage_bytes();
  plan.stages = static_cast<int>(std::min<size_t>(stages, kMostStages));
  return plan;
}

// A row-major matrix as its pieces of 64 columns, each of them a matrix of all rows.
inline CUtensorMap pieces_of(const Device& device, const bf16* matrix, size_t rows, size_t k,
                             size_t stride, int box_rows, int pieces) {
  return tensor_map<bf16, 3>(
      device, matrix, {kThinDepth, rows, k / kThinDepth}, {stride, kThinDepth},
      {kThinDepth, static_cast<unsigned>(box_rows), static_cast<unsigned>(pieces)});
}

inline void multiply_thin(const Device& device, const HopperProduct& p, const ThinPlan& plan,
                          float* sums, size_t stride) {
  const int pieces = pieces_of_stage(plan.columns);
  const CUtensorMap a = pieces_of(device, p.a, p.rows, p.k, p.a_stride, plan.box_rows, pieces);
  const CUtensorMap w = pieces_of(device, p.w, p.n, p.k, p.w_stride, plan.columns, pieces);
  const ThinProduct of{
      static_cast<int>(p.rows), static_cast<int>(p.n), static_cast<int>(p.k), plan, sums, stride};
  const size_t tiles =
      divide_up(p.rows, kThinRows) * divide_up(p.n, static_cast<size_t>(plan.columns));
  const auto launch = [&](auto kernel) {
    PROOFMILL_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                static_cast<int>(plan.shared_bytes())));
    const size_t blocks = std::min<size_t>(tiles, static_cast<size_t>(device.multiprocessors));
    launch_early(device, kernel, dim3(static_cast<unsigned>(blocks)), kThinThreads,
                 plan.shared_bytes(), a, w, of);
  };
  switch (plan.columns) {
    case 16:
      return launch(thin_kernel<16>);
    case 32:
      return launch(thin_kernel<32>);
    case 48:
      return launch(thin_kernel<48>);
    default:
      return launch(thin_kernel<64>);
  }
}

inline void multiply_thin(const Device& device, const HopperProduct& p, float* sums,
                          size_t stride) {
  multiply_thin(device, p, thin_plan(device, p), sums, stride);
}

}  // namespace proofmill::cuda::hopper
