// The kernel of a matrix product of bfloat16 on Hopper, and how it is launched.
//
// A block computes tiles of 128 rows by 256 columns. Two blocks form a cluster, and their tiles
// stand one below the other: they need the same weights, so each copies half of them to both. In a
// block one warp asks the copy engine for the next pieces, 64 long along k, while two warpgroups
// multiply, 64 rows each. A block computes many tiles, and the first pieces of the next one are
// copied while the sums of the last one are stored. Every sum runs over k in one order, whatever
// the tile.
#pragma once

#include <algorithm>

#include "hopper.cuh"
#include "hopper_gemm.h"
#include "hopper_launch.h"
#include "tile_addition.cuh"

namespace proofmill::cuda::hopper {

constexpr int kRows = 128, kColumns = kTileColumns, kDepth = 64;
constexpr int kCluster = 2;
constexpr int kStages = 4;
constexpr int kConsumers = 2;  // warpgroups
constexpr int kThreads = 128 * (1 + kConsumers);
// How many pairs of row tiles are computed before the next ones are begun, all columns of them: so
// few that their parts of both matrices stay in the L2.
constexpr int kGroup = 8;

struct Stage {
  bf16 a[kRows * kDepth], w[kColumns * kDepth];
};
struct Shared {
  Stage stages[kStages];
  uint64_t full[kStages], empty[kStages];
};
constexpr size_t kSharedBytes = sizeof(Shared) + 1024;  // to be aligned

// Tiles in the order in which clusters take them.
struct Tiles {
  int row_pairs, columns;

  __device__ Tiles(int rows, int n)
      : row_pairs((rows + kCluster * kRows - 1) / (kCluster * kRows)),
        columns((n + kColumns - 1) / kColumns) {}
  __device__ int count() const { return row_pairs * columns; }
  __device__ void at(int index, int* pair, int* column) const {
    const int group = index / (kGroup * columns), first = group * kGroup;
    const int height = row_pairs - first < kGroup ? row_pairs - first : kGroup;
    const int within = index - group * kGroup * columns;
    *pair = first + within % height;
    *column = within / height;
  }
};

// The residual that a tile is added to is copied as further pieces, so that it is there when the
// sums are. A piece has kResidualColumns columns of the tile, in boxes of 128 bytes, which are
// swizzled.
constexpr int kResidualColumns = 64, kResidualPieces = kColumns / kResidualColumns,
              kResidualBox = 32;
static_assert(kResidualColumns * kRows * sizeof(float) <= sizeof(Stage),
              "a piece fits into a stage");

// Adds piece `piece` to the sums of this thread's rows: `row` of the tile, and 8 below.
__device__ __forceinline__ void add_piece(const char* piece_at, int row, int piece,
                                          float (&sums)[kTileSums]) {
  const int lane = Tile::lane();
#pragma unroll
  for (int part = 0; part < kResidualPieces; part++) {
    if (part != piece) continue;  // so that every index of sums is a constant
#pragma unroll
    for (int i = 0; i < kResidualColumns / 8; i++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int at = row + half * 8;
        const int chunk = (i % 4 * 2 + lane / 2) ^ (at % 8);
        const float2 residual = *reinterpret_cast<const float2*>(
            piece_at + i / 4 * kResidualBox * kRows * static_cast<int>(sizeof(float)) + at * 128 +
            chunk * 16 + lane % 2 * 8);
        const int j = part * (kResidualColumns / 8) + i;
        sums[j * 4 + half * 2] += residual.x;
        sums[j * 4 + half * 2 + 1] += residual.y;
      }
    }
  }
}

template <class Epilogue>
__global__ void __cluster_dims__(kCluster, 1, 1) __launch_bounds__(kThreads, 1)
    gemm_kernel(const __grid_constant__ CUtensorMap a_map,
                const __grid_constant__ CUtensorMap w_map,
                const __grid_constant__ CUtensorMap residual_map, int rows, int n, int k,
                const Epilogue epilogue) {
  extern __shared__ __align__(16) unsigned char raw[];
  Shared& shared =
      *reinterpret_cast<Shared*>((reinterpret_cast<uintptr_t>(raw) + 1023) & ~uintptr_t{1023});
  const uint32_t rank = cluster_rank();
  const int group = static_cast<int>(threadIdx.x) / 128;
  if (threadIdx.x == 0) {
    prefetch(&a_map);
    prefetch(&w_map);
    for (int i = 0; i < kStages; i++) {
      init_barrier(&shared.full[i], 1);
      init_barrier(&shared.empty[i], kConsumers * kCluster);
    }
    publish_barriers();
  }
  __syncthreads();
  sync_cluster();
  wait_for_last_kernel();
  let_next_kernel_begin();

  const Tiles tiles(rows, n);
  const int first = static_cast<int>(blockIdx.x) / kCluster;
  const int step = static_cast<int>(gridDim.x) / kCluster;
  const int pieces = (k + kDepth - 1) / kDepth;
  int stage = 0;
  uint32_t parity = 0;
  const auto next = [&] {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  };

  if (group == 0) {
    give_registers<40>();
    if (threadIdx.x == 0) {
      for (int tile = first; tile < tiles.count(); tile += step) {
        int pair, column;
        tiles.at(tile, &pair, &column);
        const int row = (pair * kCluster + static_cast<int>(rank)) * kRows;
        const int own_columns = column * kColumns + static_cast<int>(rank) * kColumns / kCluster;
        for (int piece = 0; piece < pieces; piece++, next()) {
          wait(&shared.empty[stage], parity ^ 1);
          Stage& to = shared.stages[stage];
          expect_bytes(&shared.full[stage], sizeof(Stage));
          copy_box(to.a, &a_map, piece * kDepth, row, &shared.full[stage]);
          copy_box_to((1 << kCluster) - 1, to.w + rank * kColumns / kCluster * kDepth, &w_map,
                      piece * kDepth, own_columns, &shared.full[stage]);
        }
        if constexpr (kAddsResidual<Epilogue>) {
          for (int piece = 0; piece < kResidualPieces; piece++, next()) {
            wait(&shared.empty[stage], parity ^ 1);
            float* to = reinterpret_cast<float*>(&shared.stages[stage]);
            expect_bytes(&shared.full[stage], kResidualColumns * kRows * sizeof(float));
            for (int box = 0; box < kResidualColumns; box += kResidualBox) {
              copy_box(to + box * kRows, &residual_map,
                       column * kColumns + piece * kResidualColumns + box, row,
                       &shared.full[stage]);
            }
          }
        }
      }
    }
  } else {
    take_registers<232>();
    const int own = group - 1;
    const int thread = static_cast<int>(threadIdx.x) % 128;
    float sums[kTileSums];
    for (int tile = first; tile < tiles.count(); tile += step) {
      int pair, column;
      tiles.at(tile, &pair, &column);
      const int row = (pair * kCluster + static_cast<int>(rank)) * kRows + own * 64 +
                      thread / 32 * 16 + thread % 32 / 4;
      const float2 begun = epilogue.begin(row, rows);
      int previous = -1;
      for (int piece = 0; piece < pieces; piece++, next()) {
        wait(&shared.full[stage], parity);
        const uint64_t a = matrix_of(shared.stages[stage].a + own * 64 * kDepth);
        const uint64_t w = matrix_of(shared.stages[stage].w);
        begin_products();
#pragma unroll
        for (int i = 0; i < kDepth / 16; i++) multiply(sums, a + 2 * i, w + 2 * i, piece + i > 0);
        commit_products();
        wait_products<1>();
        // The piece before is multiplied: both blocks' copies may overwrite it.
        if (previous >= 0 && thread < kCluster) {
          arrive_at(&shared.empty[previous], static_cast<uint32_t>(thread));
        }
        previous = stage;
      }
      wait_products<0>();
      settle(sums);
      if (thread < kCluster) arrive_at(&shared.empty[previous], static_cast<uint32_t>(thread));
      if constexpr (kAddsResidual<Epilogue>) {
        for (int piece = 0; piece < kResidualPieces; piece++, next()) {
          wait(&shared.full[stage], parity);
          add_piece(reinterpret_cast<const char*>(&shared.stages[stage]),
                    own * 64 + thread / 32 * 16 + thread % 32 / 4, piece, sums);
          sync_warpgroup(own);
          if (thread < kCluster) arrive_at(&shared.empty[stage], static_cast<uint32_t>(thread));
        }
      }
      epilogue(Tile{sums, row, column * kColumns, rows, n}, begun);
    }
  }
  // No block may end while the other one may still write to its memory or arrive at its barriers.
  __syncwarp();
  sync_cluster();
}

// A row-major matrix, read in boxes of `box_rows` by 128 bytes.
template <class T>
CUtensorMap map_of(const Device& device, const T* matrix, size_t rows, size_t width, size_t stride,
                   unsigned box_rows) {
  return tensor_map<T, 2>(device, matrix, {width, rows}, {stride}, {128 / sizeof(T), box_rows});
}

template <class Epilogue>
void multiply_tiles(const Device& device, const HopperProduct& p, const Epilogue& epilogue) {
  const auto kernel = gemm_kernel<Epilogue>;
  PROOFMILL_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(kSharedBytes)));
  const CUtensorMap a = map_of(device, p.a, p.rows, p.k, p.a_stride, kRows);
  const CUtensorMap w = map_of(device, p.w, p.n, p.k, p.w_stride, kColumns / kCluster);
  CUtensorMap residual{};
  if constexpr (kAddsResidual<Epilogue>) {
    residual = map_of(device, epilogue.x, p.rows, p.n, epilogue.stride, kRows);
  }
  const size_t tiles = divide_up(p.rows, kCluster * kRows) * divide_up(p.n, kColumns);
  const size_t clusters = std::min<size_t>(tiles, device.multiprocessors / kCluster);
  launch_early(device, kernel, dim3(static_cast<unsigned>(clusters * kCluster)), kThreads,
               kSharedBytes, a, w, residual, static_cast<int>(p.rows), static_cast<int>(p.n),
               static_cast<int>(p.k), epilogue);
}

}  // namespace proofmill::cuda::hopper
