// A vector of floats as wide as the ISA this file is compiled for, from the compiler's own vector
// types: one source for every kernel. Compiled once per ISA with PROOFMILL_ISA naming the
// namespace, so that no code built for one ISA is ever linked into another. For the same reason
// nothing here or in the kernels uses library templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#if defined(__AVX2__)
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

// The sums of a tile of a matrix product stay in registers, with one vector of the left operand and
// a row of the right one's: kTileRows x kTilePanels panels.
#if defined(__AVX512F__) || defined(PROOFMILL_EMULATE_AVX512_BF16)
constexpr int kLanes = 16;
constexpr int kTileRows = 6;  // 24 sums of 32 registers
constexpr int kTilePanels = 4;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 12 sums of 16 registers
constexpr int kTilePanels = 1;
#elif defined(__ARM_NEON)
constexpr int kLanes = 4;
constexpr int kTileRows = 6;  // 24 sums of 32 registers
constexpr int kTilePanels = 1;
#else
constexpr int kLanes = 4;
constexpr int kTileRows = 2;  // 8 sums of 16 registers
constexpr int kTilePanels = 1;
#endif

// Columns of a packed panel. The same everywhere, so that sums over "16 lanes" have one order.
constexpr int kPanel = kPanelColumns;
constexpr int kVectors = kPanel / kLanes;  // of a panel

// Whether there is an instruction for `dot`.
#if defined(__AVX512BF16__) || defined(PROOFMILL_EMULATE_AVX512_BF16)
constexpr bool kDot = true;
#else
constexpr bool kDot = false;
#endif

typedef float vf __attribute__((vector_size(4 * kLanes)));
typedef int32_t vi __attribute__((vector_size(4 * kLanes)));
typedef uint32_t vu __attribute__((vector_size(4 * kLanes)));
typedef uint16_t vh __attribute__((vector_size(2 * kLanes)));

inline vf load(const float* p) {
  vf x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
// The first n <= kLanes lanes, zeros in the others.
inline vf load(const float* p, size_t n) {
  if (n == kLanes) return load(p);
  vf x = {};
  std::memcpy(&x, p, n * sizeof(float));
  return x;
}
inline vu load(const uint32_t* p) {
  vu x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
inline void store(float* p, vf x) { std::memcpy(p, &x, sizeof x); }
inline vf splat(float x) { return x - vf{}; }  // x - 0 is x, for -0 too
inline vu splat(uint32_t x) { return x + vu{}; }

// Calls fn(i, lanes) for each vector of n numbers: i is its first one's place, and lanes is kLanes
// but for what is left at the end.
template <class Fn>
inline __attribute__((always_inline)) void for_vectors(size_t n, Fn&& fn) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn(i, size_t{kLanes});
  if (i < n) fn(i, n - i);
}

inline vu as_uint(vf x) { return reinterpret_cast<vu>(x); }
inline vf as_float(vu x) { return reinterpret_cast<vf>(x); }

// a * b + c, rounded once where the ISA can, else twice: the one difference between the bits of
// ISAs (see Kernels::fused).
inline vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(PROOFMILL_EMULATE_AVX512_BF16)
  __m256 x[2], y[2], z[2];
  std::memcpy(x, &a, sizeof a);
  std::memcpy(y, &b, sizeof b);
  std::memcpy(z, &c, sizeof c);
  for (int i = 0; i < 2; i++) z[i] = _mm256_fmadd_ps(x[i], y[i], z[i]);
  std::memcpy(&c, z, sizeof c);
  return c;
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

// b where one of them is not a number, or where they are equal.
inline vf max(vf a, vf b) {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(0xffff, a, b);  // GCC takes three instructions for the line below
#else
  return a > b ? a : b;
#endif
}
inline vf min(vf a, vf b) {
#if defined(__AVX512F__)
  return _mm512_maskz_min_ps(0xffff, a, b);
#else
  return a < b ? a : b;
#endif
}

// Each lane of `pairs` holds two bf16 numbers: the even one of its row low, the odd one high.
inline vf even_of(vu pairs) { return as_float(pairs << 16); }
inline vf odd_of(vu pairs) {
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(PROOFMILL_EMULATE_AVX512_BF16)
  // The mask is read from memory: held in a register, it would push a tile's sums out of theirs.
  constexpr uint32_t kOdd = 0xffff0000;
  static constexpr vu kMask = {kOdd, kOdd, kOdd, kOdd, kOdd, kOdd, kOdd, kOdd};
  asm("vandps %1, %0, %0" : "+x"(pairs) : "m"(kMask));
  return as_float(pairs);
#else
  return as_float(pairs & 0xffff0000u);
#endif
}

// sum + odd(a) * odd(b) + even(a) * even(b), one rounding each. Denormals are zero to vdpbf16ps.
inline vf dot(vu a, vu b, vf sum) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  return fma(even_of(a), even_of(b), fma(odd_of(a), odd_of(b), sum));
#endif
}

// Rounds to bf16, nearest even. A NaN keeps its sign and stays a NaN.
inline vf round_bf16(vf x) {
  const vu u = as_uint(x);
  const vu rounded = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
  const vu nan = (u | 0x00400000u) & 0xffff0000u;
  return as_float((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}
inline vh to_bf16(vf x) {
#if defined(__AVX512BF16__)
  // The instruction takes denormals for zeros, as products of bf16 do anyway.
  return reinterpret_cast<vh>(_mm512_cvtneps_pbh(x));
#else
  return __builtin_convertvector(as_uint(round_bf16(x)) >> 16, vh);
#endif
}

// Stores the first n <= kLanes lanes as elements [at, at + n) of a row of activations.
inline void store(void* row, size_t at, vf x, size_t n, Storage storage) {
  void* to = static_cast<char*>(row) + at * size_of(storage);
  if (storage == Storage::bf16) {
    const vh narrow = to_bf16(x);
    n == kLanes ? std::memcpy(to, &narrow, sizeof narrow) : std::memcpy(to, &narrow, n * 2);
  } else {
    if (storage == Storage::rounded) x = round_bf16(x);
    n == kLanes ? std::memcpy(to, &x, sizeof x) : std::memcpy(to, &x, n * 4);
  }
}

// e^x, about 1 ulp; 0 below -87.3, and no more than e^88. NaN in, NaN out.
inline vf exp(vf x) {
  const vf clamped = min(splat(88.0f), max(splat(-87.3f), x));
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

typedef float quad __attribute__((vector_size(16)));

// 16 lanes held in vectors, as quarters.
struct Quarters {
  quad at[4];

  explicit Quarters(const vf (&lanes)[kVectors]) { std::memcpy(at, lanes, sizeof at); }
};

// The sum of 16 lanes, each plus the one 8 further, then 4, 2 and 1.
inline float sum16(const vf (&lanes)[kVectors]) {
  const Quarters x(lanes);
  const quad sums = (x.at[0] + x.at[2]) + (x.at[1] + x.at[3]);
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

// The greatest of 16 lanes.
inline float max16(const vf (&lanes)[kVectors]) {
  const Quarters x(lanes);
  const quad a = x.at[0] > x.at[2] ? x.at[0] : x.at[2];
  const quad b = x.at[1] > x.at[3] ? x.at[1] : x.at[3];
  const quad c = a > b ? a : b;
  const float d = c[0] > c[2] ? c[0] : c[2], e = c[1] > c[3] ? c[1] : c[3];
  return d > e ? d : e;
}

}  // namespace proofmill::PROOFMILL_ISA
