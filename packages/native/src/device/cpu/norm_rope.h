// RMSNorm of a row, and the norm and RoPE of a head of q or k.
#pragma once

#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

// Sum of a_i b_i in 16 interleaved sums, then folded: one order for every ISA.
inline float dot_product(const float* a, const float* b, size_t n) {
  vf sums[kVectors] = {};
  const size_t whole = n / kPanel * kPanel;
  for (size_t i = 0; i < whole; i += kPanel) {
    for (int v = 0; v < kVectors; v++) {
      const size_t at = i + v * kLanes;
      sums[v] = fma(load(a + at), load(b + at), sums[v]);
    }
  }
  for_vectors(n - whole, [&](size_t i, size_t lanes) {
    sums[i / kLanes] =
        fma(load(a + whole + i, lanes), load(b + whole + i, lanes), sums[i / kLanes]);
  });
  return sum16(sums);
}

// 1 / sqrt(mean of squares + eps)
inline float inverse_rms(const float* x, size_t n, float eps) {
  return 1.0f / __builtin_sqrtf(dot_product(x, x, n) / static_cast<float>(n) + eps);
}

// out [2 * half], stored as kStorage says, = x [2 * half], normed over the head where `weight` is
// not null, then rotated by the angles of its position, cos and sin [half]. Dimension j is paired
// with j
// + half, as in Hugging Face's layout.
template <Storage kStorage>
inline void norm_rope(const float* x, size_t half, const float* weight, float eps, const float* cos,
                      const float* sin, void* out) {
  const float scale = weight ? inverse_rms(x, 2 * half, eps) : 1.0f;
  const auto normed = [&](size_t i, size_t n) {
    const vf y = load(x + i, n);
    return weight ? (y * scale) * load(weight + i, n) : y;
  };
  for_vectors(half, [&](size_t i, size_t n) {
    const vf a = normed(i, n), b = normed(half + i, n);
    const vf c = load(cos + i, n), s = load(sin + i, n);
    store(out, i, a * c - b * s, n, kStorage);
    store(out, half + i, b * c + a * s, n, kStorage);
  });
}

}  // namespace proofmill::PROOFMILL_ISA
