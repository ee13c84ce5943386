// Causal grouped-query attention on Hopper in the flash manner, as in attention.cu, with products
// of warpgroups.
//
// A unit of work is 64 queries of a head. Units of heads that share keys and values follow each
// other, and a block takes two, one for each of its warpgroups, so that the keys and values that it
// copies serve both. There are two places for tiles of 64 keys, and two for tiles of 64 values; the
// last warp that has read a place asks the copy engine for the tile after the next one. For the
// copy engine a tensor ends with its sequence, so what a tile has beyond that is zero.
//
// Queries and keys come in tiles of 64 that begin with the sequence: the order of all sums, and
// with it every bit, follows from a query's position alone.
#pragma once

#include "hopper.cuh"
#include "hopper_attention.h"
#include "hopper_launch.h"

namespace proofmill::cuda::hopper {

constexpr int kTileRows = 64;
constexpr int kBoxColumns = 64;
constexpr int kUnits = 2;   // of a block
constexpr int kPlaces = 2;  // of tiles of keys, and of values
constexpr int kUnitWarps = 4;

// A tile's columns come in boxes of 64, one after another.
template <int kHeadDim>
struct AttentionShared {
  using Rows = bf16[kTileRows * kHeadDim];
  Rows queries[kUnits], keys[kPlaces], values[kPlaces];
  uint64_t queries_there[kUnits], keys_there[kPlaces], values_there[kPlaces];
  unsigned keys_left[kPlaces], values_left[kPlaces];  // how many warps have read the place
};
template <int kHeadDim>
constexpr size_t kAttentionBytes = sizeof(AttentionShared<kHeadDim>) + 1024;  // to be aligned

struct AttentionOut {
  bf16* rows;
  size_t stride;
};

template <int kHeadDim>
__global__ void __launch_bounds__(kUnits* kUnitWarps * 32, 2)
    attention_kernel(const __grid_constant__ CUtensorMap q_map,
                     const __grid_constant__ CUtensorMap k_map,
                     const __grid_constant__ CUtensorMap v_map, int seq_len, int group,
                     AttentionOut out) {
  constexpr int kBoxes = kHeadDim / kBoxColumns;
  extern __shared__ __align__(16) unsigned char raw[];
  AttentionShared<kHeadDim>& shared = *reinterpret_cast<AttentionShared<kHeadDim>*>(
      (reinterpret_cast<uintptr_t>(raw) + 1023) & ~uintptr_t{1023});
  const int own = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / 128, 0);
  const int warp = static_cast<int>(threadIdx.x) % 128 / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;

  // Units count heads of the group, then tiles; the last and longest come first.
  const int kv_head = static_cast<int>(blockIdx.y), sequence = static_cast<int>(blockIdx.z);
  const int first_unit = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kUnits;
  const int units = (seq_len + kTileRows - 1) / kTileRows * group;
  const auto tile_of = [&](int unit) { return (first_unit + unit) / group; };
  const auto head_of = [&](int unit) { return kv_head * group + (first_unit + unit) % group; };
  // A tile of queries sees as many tiles of keys as there are up to it.
  const auto tiles_of = [&](int unit) { return first_unit + unit < units ? tile_of(unit) + 1 : 0; };
  const int both[kUnits] = {tiles_of(0), tiles_of(1)};
  const int all = both[0] > both[1] ? both[0] : both[1];

  const auto copy = [&](bf16* to, const CUtensorMap* map, int tile, int head, uint64_t* there) {
    expect_bytes(there, sizeof(typename AttentionShared<kHeadDim>::Rows));
    copy_box(to, map, make_int4(0, tile * kTileRows, head * kBoxes, sequence), there);
  };
  if (threadIdx.x == 0) {
    prefetch(&q_map);
    prefetch(&k_map);
    prefetch(&v_map);
    for (int i = 0; i < kUnits; i++) init_barrier(&shared.queries_there[i], 1);
    for (int i = 0; i < kPlaces; i++) {
      init_barrier(&shared.keys_there[i], 1);
      init_barrier(&shared.values_there[i], 1);
      shared.keys_left[i] = shared.values_left[i] = 0;
    }
    publish_barriers();
  }
  __syncthreads();
  wait_for_last_kernel();
  if (threadIdx.x == 0) {
    for (int unit = 0; unit < kUnits; unit++) {
      if (both[unit] == 0) continue;
      copy(shared.queries[unit], &q_map, tile_of(unit), head_of(unit), &shared.queries_there[unit]);
      if (unit == 0) copy(shared.keys[0], &k_map, 0, kv_head, &shared.keys_there[0]);
    }
    copy(shared.values[0], &v_map, 0, kv_head, &shared.values_there[0]);
    for (int tile = 1; tile < kPlaces && tile < all; tile++) {
      copy(shared.keys[tile], &k_map, tile, kv_head, &shared.keys_there[tile]);
      copy(shared.values[tile], &v_map, tile, kv_head, &shared.values_there[tile]);
    }
  }
  __syncwarp();
  const int mine = own == 0 ? both[0] : both[1];
  if (mine == 0) return;

  // This warp has read `tile`: the last of all that read it has the place filled again.
  const auto leave = [&](unsigned* left, int tile, bf16* place, const CUtensorMap* map,
                         uint64_t* there) {
    if (lane == 0) {
      const unsigned readers = tile < both[0] && tile < both[1] ? kUnits * kUnitWarps : kUnitWarps;
      if (last_to_arrive(left, readers) && tile + kPlaces < all) {
        copy(place, map, tile + kPlaces, kv_head, there);
      }
    }
    __syncwarp();
  };

  // This thread's part of the products: rows `row` and 8 below, columns lane % 4 * 2, + 1 of every
  // eight.
  const int row = warp * 16 + lane / 4;
  constexpr float kLog2E = 1.44269504f;
  const float scale = kLog2E / sqrtf(static_cast<float>(kHeadDim));
  float mixed[kHeadDim / 2];
#pragma unroll
  for (float& x : mixed) x = 0.0f;
  float highest[2] = {-INFINITY, -INFINITY}, sums[2] = {0.0f, 0.0f};
  const uint64_t queries = matrix_of(shared.queries[own]);
  wait(&shared.queries_there[own], 0);

  for (int tile = 0; tile < mine; tile++) {
    const int place = tile % kPlaces;
    const uint32_t parity = static_cast<uint32_t>(tile / kPlaces % 2);
    float scores[kTileRows / 2];
    wait(&shared.keys_there[place], parity);
    const uint64_t keys = matrix_of(shared.keys[place]);
    begin_products();
#pragma unroll
    for (int k = 0; k < kHeadDim / 16; k++) {
      constexpr int kBox = kTileRows * kBoxColumns * sizeof(bf16) >> 4;
      const int at = k / 4 * kBox + k % 4 * 2;
      multiply(scores, queries + at, keys + at, k > 0);
    }
    commit_products();
    wait_products<0>();
    settle(scores);
    leave(&shared.keys_left[place], tile, shared.keys[place], &k_map, &shared.keys_there[place]);

    // Only in the tile on the diagonal are there keys that some query may not see.
    if (tile == mine - 1) {
#pragma unroll
      for (int i = 0; i < kTileRows / 2; i++) {
        const int key = i / 4 * 8 + lane % 4 * 2 + i % 2;
        if (key > row + i % 4 / 2 * 8) scores[i] = -INFINITY;
      }
    }
    float top[2] = {highest[0], highest[1]};
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i++) top[i % 4 / 2] = fmaxf(top[i % 4 / 2], scores[i]);
    float shrink[2], shift[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAllLanes, top[r], 2));
      shrink[r] = fast_exp2((highest[r] - top[r]) * scale);  // 0 at the first tile: it was -inf
      highest[r] = top[r];
      shift[r] = top[r] * scale;
      sums[r] *= shrink[r];
    }
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i++) {
      scores[i] = fast_exp2(scores[i] * scale - shift[i % 4 / 2]);
      sums[i % 4 / 2] += scores[i];
    }
    uint32_t weights[kTileRows / 16][4];
#pragma unroll
    for (int i = 0; i < kTileRows / 4; i++) {
      weights[i / 4][i % 4] = pack_bf16(scores[2 * i], scores[2 * i + 1]);
    }
#pragma unroll
    for (int i = 0; i < kHeadDim / 2; i++) mixed[i] *= shrink[i % 4 / 2];

    wait(&shared.values_there[place], parity);
    const uint64_t values = matrix_over_rows(shared.values[place], kTileRows);
    settle(mixed);
    settle(weights);
    begin_products();
#pragma unroll
    for (int k = 0; k < kTileRows / 16; k++)
      multiply_over_rows(mixed, weights[k], values + 128 * k);
    commit_products();
    wait_products<0>();
    settle(mixed);
    settle(weights);
    leave(&shared.values_left[place], tile, shared.values[place], &v_map,
          &shared.values_there[place]);
  }

#pragma unroll
  for (int r = 0; r < 2; r++) {
    sums[r] += __shfl_xor_sync(kAllLanes, sums[r], 1);
    sums[r] += __shfl_xor_sync(kAllLanes, sums[r], 2);
    const int query = tile_of(own) * kTileRows + row + r * 8;
    const float inverse = 1.0f / sums[r];
    bf16* to = out.rows + (static_cast<size_t>(sequence) * seq_len + query) * out.stride +
               static_cast<size_t>(head_of(own)) * kHeadDim;
    const auto word = [&](int n) {
      return pack_bf16(mixed[n * 4 + 2 * r] * inverse, mixed[n * 4 + 2 * r + 1] * inverse);
    };
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; n += 4) {
      const uint4 eight = gather_group(word(n), word(n + 1), word(n + 2), word(n + 3));
      if (query < seq_len) *reinterpret_cast<uint4*>(to + (n + lane % 4) * 8) = eight;
    }
  }
}

// Heads of whole sequences: columns of a box, rows of the sequence, boxes of a row, sequences.
template <int kHeadDim>
CUtensorMap heads_map(const Device& device, const AttentionArgs<bf16>& args, const bf16* first,
                      int heads, size_t stride) {
  const size_t seq_len = static_cast<size_t>(args.seq_len);
  constexpr unsigned kBoxes = kHeadDim / kBoxColumns;
  return tensor_map<bf16, 4>(device, first,
                             {kBoxColumns, seq_len, static_cast<size_t>(heads) * kBoxes,
                              static_cast<size_t>(args.sequences)},
                             {stride, kBoxColumns, seq_len * stride},
                             {kBoxColumns, kTileRows, kBoxes, 1});
}

template <int kHeadDim>
void attend(const Device& device, const AttentionArgs<bf16>& args) {
  const auto kernel = attention_kernel<kHeadDim>;
  PROOFMILL_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(kAttentionBytes<kHeadDim>)));
  const int group = args.heads / args.kv_heads;
  const CUtensorMap q = heads_map<kHeadDim>(device, args, args.q, args.heads, args.q_stride);
  const CUtensorMap k = heads_map<kHeadDim>(device, args, args.k, args.kv_heads, args.kv_stride);
  const CUtensorMap v = heads_map<kHeadDim>(device, args, args.v, args.kv_heads, args.kv_stride);
  const size_t units = divide_up(args.seq_len, kTileRows) * static_cast<size_t>(group);
  const dim3 grid(static_cast<unsigned>(divide_up(units, kUnits)),
                  static_cast<unsigned>(args.kv_heads), static_cast<unsigned>(args.sequences));
  launch_early(device, kernel, grid, kUnits * kUnitWarps * 32, kAttentionBytes<kHeadDim>, q, k, v,
               args.seq_len, group, AttentionOut{args.out, args.out_stride});
}

}  // namespace proofmill::cuda::hopper
