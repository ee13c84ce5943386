// Epilogues: what is done with a tile's sums while they are in registers.
//
// An epilogue is called by whole warps, twice. `begin`, before the sums are there, gets the
// thread's first row (its second is 8 below) and the number of rows, and returns what the call with
// the tile gets back. Rows from tile.rows on and columns from tile.n on are not stored.
#pragma once

#include "tile.cuh"

namespace proofmill::cuda {

// d [rows, n] in bf16 = sums + bias
struct StoreRounded {
  RowNorm norm;
  const bf16* bias;  // [n] or null
  bf16* d;
  size_t stride;
  bool vectors;  // as in store_rounded

  __device__ __forceinline__ float2 begin(int row, int rows) const {
    return norm.factors(row, rows);
  }
  __device__ __forceinline__ void operator()(const Tile& tile, float2 factors) const {
    scale_rows(tile, factors);
    add_bias(tile, bias);
    store_rounded(tile, d, stride, vectors);
  }
};

// The same for columns of q, k and v: heads of q and k are normed and rotated. kHeadDim divides a
// tile's columns, and the first column begins a head.
template <int kHeadDim, bool kPositions>
struct StoreHeads {
  StoreRounded store;
  HeadRope q, k;
  int k_from, v_from;  // heads: of q before k_from, of k before v_from
  // Rows are the last `positions` of each sequence; or with kPositions each row's is at[row].
  int seq_len, positions;
  const uint32_t* at;

  __device__ __forceinline__ float2 begin(int row, int rows) const {
    return store.norm.factors(row, rows);
  }
  __device__ __forceinline__ size_t position(int row) const {
    if constexpr (kPositions) return read_only(at + row);
    return static_cast<size_t>(seq_len - positions + row % positions);
  }
  __device__ __forceinline__ void operator()(const Tile& tile, float2 factors) const {
    scale_rows(tile, factors);
    add_bias(tile, store.bias);
    constexpr int kGroups = kHeadDim / 8, kPairs = kGroups / 2;
    const int lane = Tile::lane();
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = tile.row + half * 8;
      const size_t angles = own < tile.rows ? position(own) * (kHeadDim / 2) : 0;
      // A row has one position: its angles are read once for all of its heads.
      float2 cos[kPairs], sin[kPairs];
#pragma unroll
      for (int j = 0; j < kPairs; j++) {
        cos[j] = read_only(reinterpret_cast<const float2*>(q.cos + angles + j * 8 + lane * 2));
        sin[j] = read_only(reinterpret_cast<const float2*>(q.sin + angles + j * 8 + lane * 2));
      }
#pragma unroll
      for (int first = 0; first < kTileColumns / 8; first += kGroups) {
        const int head = (tile.column + first * 8) / kHeadDim;
        if (head >= v_from) continue;  // the whole warp
        const float* weight = head < k_from ? q.weight : k.weight;
        float factor = 1.0f;
        if (weight != nullptr) {
          float squares = 0.0f;
#pragma unroll
          for (int j = first; j < first + kGroups; j++) {
            squares += tile.at(j, half, 0) * tile.at(j, half, 0);
            squares += tile.at(j, half, 1) * tile.at(j, half, 1);
          }
          factor = inverse_sqrt(row_sum(squares) * (1.0f / kHeadDim) + q.eps);
        }
#pragma unroll
        for (int j = 0; j < kPairs; j++) {
          float2 low = make_float2(1.0f, 1.0f), high = low;
          if (weight != nullptr) {
            const float* from = weight + j * 8 + lane * 2;
            low = read_only(reinterpret_cast<const float2*>(from));
            high = read_only(reinterpret_cast<const float2*>(from + kHeadDim / 2));
          }
          float& a0 = tile.at(first + j, half, 0);
          float& a1 = tile.at(first + j, half, 1);
          float& b0 = tile.at(first + j + kPairs, half, 0);
          float& b1 = tile.at(first + j + kPairs, half, 1);
          const float x0 = a0 * factor * low.x, x1 = a1 * factor * low.y;
          const float y0 = b0 * factor * high.x, y1 = b1 * factor * high.y;
          a0 = x0 * cos[j].x - y0 * sin[j].x;
          a1 = x1 * cos[j].y - y1 * sin[j].y;
          b0 = y0 * cos[j].x + x0 * sin[j].x;
          b1 = y1 * cos[j].y + x1 * sin[j].y;
        }
      }
    }
    store_rounded(tile, store.d, store.stride, store.vectors);
  }
};

// d [rows, n / 2] in bf16 = silu(gate) * up; columns are eight of gate, eight of up, and so on. d
// and its rows are aligned to 16 bytes, and n is a multiple of 16.
struct StoreSwiglu {
  RowNorm norm;
  bf16* d;
  size_t stride;

  __device__ __forceinline__ float2 begin(int row, int rows) const {
    return norm.factors(row, rows);
  }
  __device__ __forceinline__ void operator()(const Tile& tile, float2 factors) const {
    scale_rows(tile, factors);
    const int lane = Tile::lane();
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = tile.row + half * 8;
      bf16* row = d + static_cast<size_t>(own) * stride;
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j += 8) {
        uint32_t words[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int gate = j + 2 * i, up = gate + 1;
          words[i] = pack_bf16(fast_silu(tile.at(gate, half, 0)) * tile.at(up, half, 0),
                               fast_silu(tile.at(gate, half, 1)) * tile.at(up, half, 1));
        }
        const uint4 group = gather_group(words[0], words[1], words[2], words[3]);
        const int column = tile.column / 2 + (j / 2 + lane) * 8;
        if (own < tile.rows && column < tile.n / 2) {
          *reinterpret_cast<uint4*>(row + column) = group;
        }
      }
    }
  }
};

// d [rows, n] f32 = sums
struct StoreFloat {
  RowNorm norm;
  float* d;
  size_t stride;
  bool vectors;  // pairs of columns are aligned to 8 bytes, and n is even

  __device__ __forceinline__ float2 begin(int row, int rows) const {
    return norm.factors(row, rows);
  }
  __device__ __forceinline__ void operator()(const Tile& tile, float2 factors) const {
    scale_rows(tile, factors);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = tile.row + half * 8;
      if (own >= tile.rows) continue;
      float* row = d + static_cast<size_t>(own) * stride;
#pragma unroll
      for (int j = 0; j < kTileColumns / 8; j++) {
        const int column = tile.column + j * 8 + Tile::lane() * 2;
        const float a = tile.at(j, half, 0), b = tile.at(j, half, 1);
        if (vectors) {
          if (column < tile.n) *reinterpret_cast<float2*>(row + column) = make_float2(a, b);
        } else {
          if (column < tile.n) row[column] = a;
          if (column + 1 < tile.n) row[column + 1] = b;
        }
      }
    }
  }
};

}  // namespace proofmill::cuda
