// The one inner loop of every matrix product here: kTileRows rows of a times one panel of b.
#pragma once

#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

// c [R, kPanel] (+)= a [R, depth] * b [depth, kPanel]. `first` starts the sums at zero.
template <int R>
inline void tile(const float* a, size_t a_stride, const float* b, size_t depth, float* c,
                 size_t c_stride, bool first) {
  vf sums[R][kTileVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; v++) {
      sums[r][v] = first ? vf{} : load(c + r * c_stride + v * kLanes);
    }
  }
  for (size_t k = 0; k < depth; k++) {
    vf columns[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; v++) columns[v] = load(b + k * kPanel + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const vf x = splat(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; v++) sums[r][v] = fma(x, columns[v], sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; v++) store(c + r * c_stride + v * kLanes, sums[r][v]);
  }
}

// Any number of rows, in tiles: full ones, then one of what is left.
template <int R = kTileRows>
inline void tiles(const float* a, size_t a_stride, size_t rows, const float* b, size_t depth,
                  float* c, size_t c_stride, bool first) {
  for (; rows >= R; rows -= R, a += R * a_stride, c += R * c_stride) {
    tile<R>(a, a_stride, b, depth, c, c_stride, first);
  }
  if constexpr (R > 1) {
    if (rows > 0) tiles<R - 1>(a, a_stride, rows, b, depth, c, c_stride, first);
  }
}

}  // namespace proofmill::PROOFMILL_ISA
