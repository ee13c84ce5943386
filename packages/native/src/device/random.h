// The protocol's random numbers (docs/protocol.md §1, steps 2 to 4), shared by host and device.
//
// "Same inputs everywhere": only correctly rounded operations (+ - * sqrt and conversions), never
// fma, never a math library's ln, sin or cos. Build with -ffp-contract=off (host) and --fmad=false
// (device), or the bits change. No branches, so that a compiler can vectorise a loop over it.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define PROOFMILL_SHARED __host__ __device__ inline
#else
#include <cmath>
#define PROOFMILL_SHARED inline
#endif

namespace proofmill::rng {

PROOFMILL_SHARED uint32_t bits_of(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
#endif
}

PROOFMILL_SHARED float float_of(uint32_t u) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(u);
#else
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
#endif
}

PROOFMILL_SHARED float sqrt_rn(float x) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(x);
#else
  return std::sqrt(x);
#endif
}

// One 4-byte block of MurmurHash3 x86-32 without the final xor of the length. For a fixed seed it
// is a bijection on uint32.
PROOFMILL_SHARED uint32_t hash(uint32_t i, uint32_t seed) {
  uint32_t k = i * 0xcc9e2d51u;
  k = (k << 15) | (k >> 17);
  k *= 0x1b873593u;
  uint32_t h = seed ^ k;
  h = (h << 13) | (h >> 19);
  h = h * 5u + 0xe6546b64u;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  h ^= h >> 16;
  return h;
}

// In [0, 1], both ends included. The two halves convert exactly, so their sum rounds once, to
// nearest: the same as a correctly rounded uint32 -> float32, which not every ISA has.
PROOFMILL_SHARED float uniform(uint32_t h) {
  const float high = static_cast<float>(static_cast<int32_t>(h >> 16)) * 65536.0f;
  const float low = static_cast<float>(static_cast<int32_t>(h & 0xffffu));
  return (high + low) * 2.3283064365386963e-10f;  // 2^-32, exact
}

// ln x for normal x in [1e-10, 1], within 2 ulp.
// x = 2^e * m with m in [sqrt(1/2), sqrt(2)); ln m by a minimax polynomial in m - 1.
PROOFMILL_SHARED float ln(float x) {
  // Shifting by sqrt(1/2)'s bits before the exponent is cut off centres m on 1 without a branch.
  const int32_t shifted = static_cast<int32_t>(bits_of(x) - 0x3f3504f3u);
  const int32_t exponent = shifted >> 23;
  const float m = float_of(static_cast<uint32_t>((shifted & 0x007fffff) + 0x3f3504f3));
  const float e = static_cast<float>(exponent);
  const float f = m - 1.0f;
  const float z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float y = (p * f) * z;
  y = y + e * -2.12194440e-4f;
  y = y - 0.5f * z;
  return (f + y) + e * 0.693359375f;
}

struct SinCos {
  float sin, cos;
};

// sin t and cos t for t in [0, float32(2 pi)], each within 2 ulp, also beside its zeros.
// t = k * pi/2 + r. The first part of pi/2 has 21 bits and the second 18, so k times either is
// exact and so is the first difference; what rounds is below an ulp of r.
PROOFMILL_SHARED SinCos sin_cos(float t) {
  const int32_t k = static_cast<int32_t>(t * 0.636619772f + 0.5f);
  const float q = static_cast<float>(k);
  float r = t - q * 1.57079601287841796875f;
  r = r - q * 3.13915734295733273029327392578125e-7f;
  r = r - q * 7.4435477313145038e-13f;
  const float z = r * r;
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z - 1.6666654611e-1f;
  s = (s * z) * r + r;
  float c = 2.443315711809948e-5f;
  c = c * z - 1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = (c * z) * z - 0.5f * z + 1.0f;
  const bool odd = (k & 1) != 0;
  const uint32_t sin_sign = (static_cast<uint32_t>(k) & 2u) << 30;
  const uint32_t cos_sign = (static_cast<uint32_t>(k + 1) & 2u) << 30;
  const float a = odd ? c : s;
  const float b = odd ? s : c;
  return {float_of(bits_of(a) ^ sin_sign), float_of(bits_of(b) ^ cos_sign)};
}

// float32(2 pi) * u, rounded to float32.
PROOFMILL_SHARED float angle(float u) { return 6.2831855f * u; }

// The pair of normals that the uniforms a and b give (Box-Muller): cosine half, sine half.
PROOFMILL_SHARED SinCos normal_pair(float a, float b) {
  const float clamped = a < 1e-10f ? 1e-10f : a;
  const float radius = sqrt_rn(-2.0f * ln(clamped));
  const SinCos turn = sin_cos(angle(b));
  return {radius * turn.sin, radius * turn.cos};
}

// Round to nearest even to the upper 16 bits. Finite inputs only need this; NaN stays NaN.
PROOFMILL_SHARED uint16_t to_bf16(float x) {
  const uint32_t u = bits_of(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40u;
  return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

PROOFMILL_SHARED float from_bf16(uint16_t b) { return float_of(static_cast<uint32_t>(b) << 16); }

}  // namespace proofmill::rng
