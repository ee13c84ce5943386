// What the kernels have in common: number formats, sums over a warp and a block, launching.
#pragma once

#include "device.h"
#include "device/random.h"

namespace proofmill::cuda {

constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Tests compile the same source for a CPU, where these are functions of the emulation.
#if defined(__CUDACC__)
#define PROOFMILL_DYNAMIC_SHARED(type, name)                        \
  extern __shared__ __align__(16) unsigned char proofmill_shared[]; \
  type* name = reinterpret_cast<type*>(proofmill_shared)
#define PROOFMILL_LAUNCH(device, kernel, grid, block, shared, ...)                       \
  do {                                                                                   \
    kernel<<<(grid), (block), (shared), (device).stream>>>(__VA_ARGS__);                 \
    ::proofmill::cuda::check(cudaGetLastError(), (device), #kernel, __FILE__, __LINE__); \
  } while (false)
#else
#define PROOFMILL_DYNAMIC_SHARED(type, name) \
  type* name = static_cast<type*>(emulated::dynamic_shared)
#define PROOFMILL_LAUNCH(device, kernel, grid, block, shared, ...) \
  emulated::launch(kernel, (grid), (block), (shared), (device).stream, __VA_ARGS__)
#endif

__device__ __forceinline__ float to_float(bf16 x) { return rng::from_bf16(x); }
__device__ __forceinline__ float to_float(float x) { return x; }

// Two numbers rounded to bf16, the first in the lower half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#if defined(__CUDACC__)
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#else
  return static_cast<uint32_t>(rng::to_bf16(low)) | static_cast<uint32_t>(rng::to_bf16(high)) << 16;
#endif
}

template <class T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
  return static_cast<bf16>(pack_bf16(x, x) & 0xffffu);
}
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}

// Four or eight neighbours at once; `p` is aligned to their size.
__device__ __forceinline__ void store4(float* p, float a, float b, float c, float d) {
  *reinterpret_cast<float4*>(p) = make_float4(a, b, c, d);
}
__device__ __forceinline__ void store4(bf16* p, float a, float b, float c, float d) {
  *reinterpret_cast<uint2*>(p) = make_uint2(pack_bf16(a, b), pack_bf16(c, d));
}
__device__ __forceinline__ float4 load4(const float* p) {
  return *reinterpret_cast<const float4*>(p);
}
__device__ __forceinline__ float4 load4(const bf16* p) {
  const uint2 bits = *reinterpret_cast<const uint2*>(p);
  return make_float4(rng::float_of(bits.x << 16), rng::float_of(bits.x & 0xffff0000u),
                     rng::float_of(bits.y << 16), rng::float_of(bits.y & 0xffff0000u));
}

// 2^x within 2 ulp, results that are not normal being 0; 1/sqrt(x) within 2 ulp; gate *
// sigmoid(gate) with a division and an exponential within a few ulp: far below what bfloat16 keeps.
__device__ __forceinline__ float fast_exp2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}
__device__ __forceinline__ float inverse_sqrt(float x) {
#if defined(__CUDACC__)
  return rsqrtf(x);
#else
  return 1.0f / sqrtf(x);
#endif
}
__device__ __forceinline__ float fast_silu(float gate) {
#if defined(__CUDACC__)
  return __fdividef(gate, 1.0f + __expf(-gate));
#else
  return gate / (1.0f + expf(-gate));
#endif
}

// Four neighbouring lanes have two columns each of four groups of eight (a, b, c, d). Exchanges
// them, so that lane q of the four gets all eight columns of group q.
__device__ __forceinline__ uint4 gather_group(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  const bool odd = threadIdx.x % 2 != 0, high = threadIdx.x % 4 >= 2;
  const uint32_t e = __shfl_xor_sync(kAllLanes, odd ? a : b, 1);
  const uint32_t f = __shfl_xor_sync(kAllLanes, odd ? c : d, 1);
  // Now of groups 0 and 2 (even lanes) or 1 and 3 (odd ones): columns of the lower, the upper lane.
  const uint32_t first_low = odd ? e : a, first_high = odd ? b : e;
  const uint32_t second_low = odd ? f : c, second_high = odd ? d : f;
  const uint32_t g = __shfl_xor_sync(kAllLanes, high ? first_low : second_low, 2);
  const uint32_t h = __shfl_xor_sync(kAllLanes, high ? first_high : second_high, 2);
  return high ? make_uint4(g, h, second_low, second_high) : make_uint4(first_low, first_high, g, h);
}

// Reads what nothing writes while the kernel runs, so that the compiler may move the read before a
// store of something else.
template <class N>
__device__ __forceinline__ N read_only(const N* p) {
#if defined(__CUDACC__)
  return __ldg(p);
#else
  return *p;
#endif
}

// The sum over a warp, the same bits in every lane.
template <class N>
__device__ __forceinline__ N warp_sum(N x) {
  for (int mask = 16; mask > 0; mask /= 2) x = x + __shfl_xor_sync(kAllLanes, x, mask);
  return x;
}

// The sum over a block of `kThreads`, the same bits in every thread. Every thread must call it, and
// `scratch` [kThreads / 32] in shared memory is free again after the next barrier.
template <int kThreads, class N>
__device__ __forceinline__ N block_sum(N x, N* scratch) {
  x = warp_sum(x);
  if (threadIdx.x % kWarp == 0) scratch[threadIdx.x / kWarp] = x;
  __syncthreads();
  N sum = scratch[0];
  for (int warp = 1; warp < kThreads / 32; warp++) sum = sum + scratch[warp];
  return sum;
}

}  // namespace proofmill::cuda
