// SwiGLU, widening, and the kernels that check an algorithm for matrix products.
#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr int kRowThreads = 256;

template <class T>
__device__ __forceinline__ float silu_times(float gate, float up) {
  if constexpr (sizeof(T) == 2) return fast_silu(gate) * up;
  return gate / (1.0f + expf(-gate)) * up;
}

// blockIdx.y is the row; four features a thread.
template <class T>
__global__ void swiglu_kernel(const T* gate_up, size_t stride, uint32_t features, T* out,
                              size_t out_stride) {
  const uint32_t i = (blockIdx.x * kRowThreads + threadIdx.x) * 4;
  if (i >= features) return;
  const T* gate = gate_up + static_cast<size_t>(blockIdx.y) * stride + i / 8 * 16 + i % 8;
  const float4 g = load4(gate), u = load4(gate + 8);
  store4(out + static_cast<size_t>(blockIdx.y) * out_stride + i, silu_times<T>(g.x, u.x),
         silu_times<T>(g.y, u.y), silu_times<T>(g.z, u.z), silu_times<T>(g.w, u.w));
}

template <class T>
__global__ void widen_kernel(const T* a, size_t stride, uint32_t width, float* out) {
  const T* row = a + static_cast<size_t>(blockIdx.x) * stride;
  for (uint32_t i = threadIdx.x; i < width; i += kRowThreads) {
    out[static_cast<size_t>(blockIdx.x) * width + i] = to_float(row[i]);
  }
}

template <class T>
__global__ void permute_rows_kernel(const T* a, size_t stride, size_t step, size_t shift, T* out) {
  const size_t row = blockIdx.x, source = (row * step + shift) % gridDim.x;
  for (size_t i = threadIdx.x; i < stride; i += kRowThreads) {
    out[row * stride + i] = a[source * stride + i];
  }
}

__device__ __forceinline__ bool same_bits(float a, float b) {
  return rng::bits_of(a) == rng::bits_of(b);
}
__device__ __forceinline__ bool same_bits(bf16 a, bf16 b) { return a == b; }

template <class T>
__global__ void count_differences_kernel(const T* a, const T* b, size_t stride, size_t width,
                                         size_t step, size_t shift, uint32_t* count) {
  __shared__ uint32_t scratch[kRowThreads / 32];
  const size_t row = blockIdx.x, source = (row * step + shift) % gridDim.x;
  uint32_t differences = 0;
  for (size_t i = threadIdx.x; i < width; i += kRowThreads) {
    differences += same_bits(a[source * stride + i], b[row * stride + i]) ? 0u : 1u;
  }
  const uint32_t sum = block_sum<kRowThreads>(differences, scratch);
  if (threadIdx.x == 0 && sum != 0) atomicAdd(count, 1u);
}

}  // namespace

template <class T>
void swiglu(const Device& device, const T* gate_up, size_t stride, size_t rows, size_t features,
            T* out, size_t out_stride) {
  // The second dimension of a grid ends at 65,535.
  constexpr size_t kRows = 32768;
  for (size_t row = 0; row < rows; row += kRows) {
    const size_t count = rows - row < kRows ? rows - row : kRows;
    const dim3 grid(static_cast<unsigned>(divide_up(features, kRowThreads * 4)),
                    static_cast<unsigned>(count));
    PROOFMILL_LAUNCH(device, swiglu_kernel<T>, grid, kRowThreads, 0, gate_up + row * stride, stride,
                     static_cast<uint32_t>(features), out + row * out_stride, out_stride);
  }
}

template <class T>
void widen(const Device& device, const T* a, size_t stride, size_t rows, size_t width, float* out) {
  PROOFMILL_LAUNCH(device, widen_kernel<T>, static_cast<unsigned>(rows), kRowThreads, 0, a, stride,
                   static_cast<uint32_t>(width), out);
}

template <class T>
void permute_rows(const Device& device, const T* a, size_t stride, size_t rows, size_t step,
                  size_t shift, T* out) {
  PROOFMILL_LAUNCH(device, permute_rows_kernel<T>, static_cast<unsigned>(rows), kRowThreads, 0, a,
                   stride, step, shift, out);
}

template <class T>
void count_differences(const Device& device, const T* a, const T* b, size_t stride, size_t rows,
                       size_t width, size_t step, size_t shift, uint32_t* count) {
  PROOFMILL_LAUNCH(device, count_differences_kernel<T>, static_cast<unsigned>(rows), kRowThreads, 0,
                   a, b, stride, width, step, shift, count);
}

template void swiglu<bf16>(const Device&, const bf16*, size_t, size_t, size_t, bf16*, size_t);
template void swiglu<float>(const Device&, const float*, size_t, size_t, size_t, float*, size_t);
template void widen<bf16>(const Device&, const bf16*, size_t, size_t, size_t, float*);
template void widen<float>(const Device&, const float*, size_t, size_t, size_t, float*);
template void permute_rows<bf16>(const Device&, const bf16*, size_t, size_t, size_t, size_t, bf16*);
template void permute_rows<float>(const Device&, const float*, size_t, size_t, size_t, size_t,
                                  float*);
template void count_differences<bf16>(const Device&, const bf16*, const bf16*, size_t, size_t,
                                      size_t, size_t, size_t, uint32_t*);
template void count_differences<float>(const Device&, const float*, const float*, size_t, size_t,
                                       size_t, size_t, size_t, uint32_t*);

}  // namespace proofmill::cuda
