#include "norm_rope.cuh"

namespace proofmill::cuda {

namespace {

constexpr int kNormThreads = 256;
constexpr int kHeadWarps = 8;

// One block a row. It is read twice, the second time from the cache.
template <class T, bool kVectors>
__global__ void rms_norm_kernel(const float* x, uint32_t width, const float* weight, float eps,
                                T* out, size_t out_stride) {
  __shared__ float scratch[kNormThreads / 32];
  const float* row = x + static_cast<size_t>(blockIdx.x) * width;
  T* y = out + static_cast<size_t>(blockIdx.x) * out_stride;
  float squares = 0.0f;
  if constexpr (kVectors) {
    for (uint32_t i = threadIdx.x * 4; i < width; i += kNormThreads * 4) {
      const float4 v = load4(row + i);
      squares += v.x * v.x + v.y * v.y + (v.z * v.z + v.w * v.w);
    }
  } else {
    for (uint32_t i = threadIdx.x; i < width; i += kNormThreads) squares += row[i] * row[i];
  }
  const float mean = block_sum<kNormThreads>(squares, scratch) / static_cast<float>(width);
  const float scale = 1.0f / sqrtf(mean + eps);
  if constexpr (kVectors) {
    for (uint32_t i = threadIdx.x * 4; i < width; i += kNormThreads * 4) {
      const float4 v = load4(row + i), w = load4(weight + i);
      store4(y + i, v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
    }
  } else {
    for (uint32_t i = threadIdx.x; i < width; i += kNormThreads) {
      y[i] = from_float<T>(row[i] * scale * weight[i]);
    }
  }
}

// One warp a head.
template <class T>
__global__ void norm_rope_kernel(T* x, size_t stride, size_t rows, int heads, int seq_len,
                                 HeadRope rope) {
  const size_t task = static_cast<size_t>(blockIdx.x) * kHeadWarps + threadIdx.x / kWarp;
  const size_t row = task / heads;
  if (row >= rows) return;  // the whole warp
  T* head = x + row * stride + task % heads * rope.head_dim;
  norm_rope_head(head, rope, static_cast<int>(row % seq_len), head);
}

__global__ void gather_rows_kernel(const float* x, size_t x_stride, uint32_t width, float* out) {
  const float* row = x + static_cast<size_t>(blockIdx.x) * x_stride;
  for (uint32_t i = threadIdx.x; i < width; i += kNormThreads) {
    out[static_cast<size_t>(blockIdx.x) * width + i] = row[i];
  }
}

}  // namespace

template <class T>
void rms_norm(const Device& device, const float* x, size_t rows, size_t width, const float* weight,
              float eps, T* out, size_t out_stride) {
  const unsigned grid = static_cast<unsigned>(rows);
  const auto kernel = width % 4 == 0 ? rms_norm_kernel<T, true> : rms_norm_kernel<T, false>;
  PROOFMILL_LAUNCH(device, kernel, grid, kNormThreads, 0, x, static_cast<uint32_t>(width), weight,
                   eps, out, out_stride);
}

template <class T>
void norm_rope(const Device& device, T* x, size_t stride, size_t rows, int heads, int seq_len,
               const HeadRope& rope) {
  const unsigned grid = static_cast<unsigned>(divide_up(rows * heads, kHeadWarps));
  PROOFMILL_LAUNCH(device, norm_rope_kernel<T>, grid, kHeadWarps * 32, 0, x, stride, rows, heads,
                   seq_len, rope);
}

void gather_rows(const Device& device, const float* x, size_t x_stride, size_t rows, size_t width,
                 float* out) {
  PROOFMILL_LAUNCH(device, gather_rows_kernel, static_cast<unsigned>(rows), kNormThreads, 0, x,
                   x_stride, static_cast<uint32_t>(width), out);
}

template void rms_norm<bf16>(const Device&, const float*, size_t, size_t, const float*, float,
                             bf16*, size_t);
template void rms_norm<float>(const Device&, const float*, size_t, size_t, const float*, float,
                              float*, size_t);
template void norm_rope<bf16>(const Device&, bf16*, size_t, size_t, int, int, const HeadRope&);
template void norm_rope<float>(const Device&, float*, size_t, size_t, int, int, const HeadRope&);

}  // namespace proofmill::cuda
