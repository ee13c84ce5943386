// A vector of floats as wide as the ISA this file is compiled for, from the compiler's own vector
// types: one source for every kernel. Compiled once per ISA with PROOFMILL_ISA naming the
// namespace, so that no code built for one ISA is ever linked into another. For the same reason
// nothing here or in the kernels uses library templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#ifndef PROOFMILL_ISA
#error "PROOFMILL_ISA must name the namespace of this build"
#endif

namespace proofmill::PROOFMILL_ISA {

#if defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 6 x 2 sums, 2 of b, 1 of a: 15 of 16 registers
constexpr int kTileVectors = 2;
#elif defined(__ARM_NEON)
constexpr int kLanes = 4;
constexpr int kTileRows = 6;  // 6 x 4 sums of 32 registers
constexpr int kTileVectors = 4;
#else
constexpr int kLanes = 4;
constexpr int kTileRows = 2;
constexpr int kTileVectors = 4;
#endif

// Columns of a packed panel. The same everywhere, so that sums over "16 lanes" have one order.
constexpr int kPanel = kLanes * kTileVectors;
static_assert(kPanel == 16);

typedef float vf __attribute__((vector_size(4 * kLanes)));
typedef int32_t vi __attribute__((vector_size(4 * kLanes)));
typedef uint32_t vu __attribute__((vector_size(4 * kLanes)));
typedef uint16_t vh __attribute__((vector_size(2 * kLanes)));

inline vf load(const float* p) {
  vf x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline void store(float* p, vf x) { std::memcpy(p, &x, sizeof x); }
inline vf splat(float x) { return x - vf{}; }  // x - 0 is x, for -0 too
inline vu as_uint(vf x) { return reinterpret_cast<vu>(x); }
inline vf as_float(vu x) { return reinterpret_cast<vf>(x); }

// a * b + c: one rounding where the ISA has it, else two. That alone parts the two kinds of bits.
inline vf fma(vf a, vf b, vf c) {
#if defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

inline vf max(vf a, vf b) { return a > b ? a : b; }

inline vf load_bf16(const uint16_t* p) {
#if defined(__AVX2__)
  const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
#else
  vh h;
  std::memcpy(&h, p, sizeof h);
  return as_float(__builtin_convertvector(h, vu) << 16);
#endif
}

// Rounds to bf16 (nearest even) and back. A NaN keeps its sign and stays a NaN.
inline vf round_bf16(vf x) {
  const vu u = as_uint(x);
  const vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
  const vu nan = (u | 0x00400000u) & 0xffff0000u;
  return as_float((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

// e^x, about 1 ulp; 0 below -87.3, and no more than e^88. NaN in, NaN out.
inline vf exp(vf x) {
  const vf low = x < -87.3f ? splat(-87.3f) : x;
  const vf clamped = low > 88.0f ? splat(88.0f) : low;
  const vf shifted = fma(clamped, splat(1.44269504f), splat(12582912.0f));  // 1.5 * 2^23: rounds
  const vf n = shifted - 12582912.0f;
  vf r = fma(n, splat(-0.693145751953125f), clamped);
  r = fma(n, splat(-1.42860677e-6f), r);
  vf p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.0f;
  const vf scale = as_float((as_uint(shifted) << 23) + 0x3f800000u);
  const vf y = p * scale;
  return x < -87.3f ? vf{} : y;
}

// The sum of 16 lanes held in vectors, in one order whatever the vectors' width.
inline float sum16(const vf (&lanes)[kTileVectors]) {
  float x[kPanel];
  for (int i = 0; i < kTileVectors; i++) store(x + i * kLanes, lanes[i]);
  for (int step = kPanel / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; i++) x[i] = x[i] + x[i + step];
  }
  return x[0];
}

}  // namespace proofmill::PROOFMILL_ISA
