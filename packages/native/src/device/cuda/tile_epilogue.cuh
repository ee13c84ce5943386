// What becomes of a tile of a matrix product while it is still in registers. A warpgroup holds 64
// rows by 256 columns as Hopper's products leave them: of thread `lane` in warp w, sums[j * 4 + e]
// is at row 16 w + lane / 4 + e / 2 * 8, column j * 8 + lane % 4 * 2 + e % 2.
//
// Every epilogue is called by whole warps, with the thread's first row (the second is 8 below) and
// the tile's first column; rows from `rows` on and columns from `n` on are not stored. What `begin`
// returned, for the same rows, before the sums were there, is its second argument.
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

// A norm that the rows of a product's left operand still lack: what their sums are multiplied by.
struct RowNorm {
  const float* squares;  // [rows, parts]: sums of squares over parts of each row; null: none lack
  int parts;
  float width, eps;

  // Of this thread's two rows; read before the sums are there, so that nothing waits for it.
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
      sum += read_only(squares + static_cast<size_t>(row) * parts + i);
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

// --- Epilogues ---

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

// The same for columns of q, k and v: heads of q and k are normed and turned. kHeadDim divides a
// tile's columns, and the first column begins a head.
template <int kHeadDim>
struct StoreHeads {
  StoreRounded store;
  HeadRope q, k;
  int k_from, v_from;      // heads: of q before k_from, of k before v_from
  int seq_len, positions;  // rows are the last `positions` of each sequence

  __device__ __forceinline__ float2 begin(int row, int rows) const {
    return store.norm.factors(row, rows);
  }
  __device__ __forceinline__ void operator()(const Tile& tile, float2 factors) const {
    scale_rows(tile, factors);
    add_bias(tile, store.bias);
    constexpr int kGroups = kHeadDim / 8, kPairs = kGroups / 2;
    const int lane = Tile::lane();
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int own = tile.row + half * 8;
      const size_t turn =
          own < tile.rows
              ? static_cast<size_t>(seq_len - positions + own % positions) * (kHeadDim / 2)
              : 0;
      // A row has one position: its angles are read once for all of its heads.
      float2 cos[kPairs], sin[kPairs];
#pragma unroll
      for (int j = 0; j < kPairs; j++) {
        cos[j] = read_only(reinterpret_cast<const float2*>(q.cos + turn + j * 8 + lane * 2));
        sin[j] = read_only(reinterpret_cast<const float2*>(q.sin + turn + j * 8 + lane * 2));
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

// Where x [rows, n] f32 += sums goes, and what the next product reads of it, whose rows then lack a
// RowNorm: next [rows, n] in bf16 = x * weight, and the sums of squares of each row's part in a
// tile.
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

// The sums have been added to x's numbers already. Groups of four columns are aligned to 16 bytes,
// and n is a multiple of 4. kNext: something reads `next`.
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

// The same for any n and alignment, x's numbers not being added yet; a null weight: nothing reads
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
    // Up to the end of the last group of eight: what lies behind n is zero.
    const Tile whole{tile.sums, tile.row, tile.column, tile.rows, (tile.n + 7) / 8 * 8};
    store_rounded(whole, next, next_stride, true);
  }
};

// Whether an epilogue wants x's numbers added to the sums before it.
template <class Epilogue>
constexpr bool kWantsOld = false;
template <bool kNext>
constexpr bool kWantsOld<StoreAddition<kNext>> = true;

}  // namespace proofmill::cuda
