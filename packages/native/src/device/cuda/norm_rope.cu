// Norms of rows, and the norm and RoPE of heads.
#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr int kNormThreads = 256;
constexpr int kHeadWarps = 8;

// One block for each row, which it reads twice, the second time from the cache.
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
  const float scale = inverse_sqrt(mean + eps);
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

// The same, and the row's reflection by a unit vector v. That leaves the row's length as it is, so
// that both sums are taken in the first reading.
template <class T, bool kVectors>
__global__ void reflect_rms_norm_kernel(float* x, uint32_t width, const float* v,
                                        const float* weight, float eps, T* out, size_t out_stride) {
  __shared__ float scratch[2][kNormThreads / 32];
  float* row = x + static_cast<size_t>(blockIdx.x) * width;
  T* y = out + static_cast<size_t>(blockIdx.x) * out_stride;
  float squares = 0.0f, along = 0.0f;
  if constexpr (kVectors) {
    for (uint32_t i = threadIdx.x * 4; i < width; i += kNormThreads * 4) {
      const float4 a = load4(row + i), b = load4(v + i);
      squares += a.x * a.x + a.y * a.y + (a.z * a.z + a.w * a.w);
      along += a.x * b.x + a.y * b.y + (a.z * b.z + a.w * b.w);
    }
  } else {
    for (uint32_t i = threadIdx.x; i < width; i += kNormThreads) {
      squares += row[i] * row[i];
      along += row[i] * v[i];
    }
  }
  const float mean = block_sum<kNormThreads>(squares, scratch[0]) / static_cast<float>(width);
  const float factor = -2.0f * block_sum<kNormThreads>(along, scratch[1]);
  const float scale = inverse_sqrt(mean + eps);
  if constexpr (kVectors) {
    for (uint32_t i = threadIdx.x * 4; i < width; i += kNormThreads * 4) {
      float4 a = load4(row + i);
      const float4 b = load4(v + i), w = load4(weight + i);
      a.x += factor * b.x;
      a.y += factor * b.y;
      a.z += factor * b.z;
      a.w += factor * b.w;
      store4(row + i, a.x, a.y, a.z, a.w);
      store4(y + i, a.x * scale * w.x, a.y * scale * w.y, a.z * scale * w.z, a.w * scale * w.w);
    }
  } else {
    for (uint32_t i = threadIdx.x; i < width; i += kNormThreads) {
      const float reflected = row[i] + factor * v[i];
      row[i] = reflected;
      y[i] = from_float<T>(reflected * scale * weight[i]);
    }
  }
}

// One warp for each head; kPairs is half of head_dim over 32, rounded up. Dimension j is paired
// with j + head_dim / 2, as in Hugging Face's layout.
template <class T, int kPairs>
__global__ void norm_rope_kernel(T* x, size_t stride, uint32_t rows, uint32_t heads,
                                 uint32_t first_position, uint32_t positions, const uint32_t* at,
                                 HeadRope rope) {
  const uint32_t task = blockIdx.x * kHeadWarps + threadIdx.x / kWarp;
  const uint32_t row = task / heads;
  if (row >= rows) return;  // the whole warp
  T* head = x + row * stride + (task - row * heads) * rope.head_dim;
  const int lane = static_cast<int>(threadIdx.x % kWarp), half = rope.head_dim / 2;
  const uint32_t position = at != nullptr ? at[row] : first_position + row % positions;
  const size_t angles = static_cast<size_t>(position) * half;
  float a[kPairs], b[kPairs];
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kPairs; i++) {
    const int j = lane + i * 32;
    a[i] = j < half ? to_float(head[j]) : 0.0f;
    b[i] = j < half ? to_float(head[j + half]) : 0.0f;
    squares += a[i] * a[i];
    squares += b[i] * b[i];
  }
  float scale = 1.0f;
  if (rope.weight != nullptr) {
    scale = inverse_sqrt(warp_sum(squares) / static_cast<float>(rope.head_dim) + rope.eps);
  }
#pragma unroll
  for (int i = 0; i < kPairs; i++) {
    const int j = lane + i * 32;
    if (j < half) {
      float first = a[i], second = b[i];
      if (rope.weight != nullptr) {
        first = first * scale * rope.weight[j];
        second = second * scale * rope.weight[j + half];
      }
      const float cos = rope.cos[angles + j], sin = rope.sin[angles + j];
      head[j] = from_float<T>(first * cos - second * sin);
      head[j + half] = from_float<T>(second * cos + first * sin);
    }
  }
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
void reflect_rms_norm(const Device& device, float* x, size_t rows, size_t width, const float* v,
                      const float* weight, float eps, T* out, size_t out_stride) {
  const auto kernel =
      width % 4 == 0 ? reflect_rms_norm_kernel<T, true> : reflect_rms_norm_kernel<T, false>;
  PROOFMILL_LAUNCH(device, kernel, static_cast<unsigned>(rows), kNormThreads, 0, x,
                   static_cast<uint32_t>(width), v, weight, eps, out, out_stride);
}

template <class T>
void norm_rope(const Device& device, T* x, size_t stride, size_t rows, int heads, int seq_len,
               int positions, const uint32_t* at, const HeadRope& rope) {
  const unsigned grid = static_cast<unsigned>(divide_up(rows * heads, kHeadWarps));
  const auto kernel = rope.head_dim <= 64    ? norm_rope_kernel<T, 1>
                      : rope.head_dim <= 128 ? norm_rope_kernel<T, 2>
                                             : norm_rope_kernel<T, 4>;
  PROOFMILL_LAUNCH(device, kernel, grid, kHeadWarps * 32, 0, x, stride, static_cast<uint32_t>(rows),
                   static_cast<uint32_t>(heads), static_cast<uint32_t>(seq_len - positions),
                   static_cast<uint32_t>(positions), at, rope);
}

void gather_rows(const Device& device, const float* x, size_t x_stride, size_t rows, size_t width,
                 float* out) {
  PROOFMILL_LAUNCH(device, gather_rows_kernel, static_cast<unsigned>(rows), kNormThreads, 0, x,
                   x_stride, static_cast<uint32_t>(width), out);
}

template void reflect_rms_norm<bf16>(const Device&, float*, size_t, size_t, const float*,
                                     const float*, float, bf16*, size_t);
template void reflect_rms_norm<float>(const Device&, float*, size_t, size_t, const float*,
                                      const float*, float, float*, size_t);
template void rms_norm<bf16>(const Device&, const float*, size_t, size_t, const float*, float,
                             bf16*, size_t);
template void rms_norm<float>(const Device&, const float*, size_t, size_t, const float*, float,
                              float*, size_t);
template void norm_rope<bf16>(const Device&, bf16*, size_t, size_t, int, int, int, const uint32_t*,
                              const HeadRope&);
template void norm_rope<float>(const Device&, float*, size_t, size_t, int, int, int,
                               const uint32_t*, const HeadRope&);

}  // namespace proofmill::cuda
