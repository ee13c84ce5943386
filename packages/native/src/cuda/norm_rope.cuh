// The norm over one head and its turn, for keys in their own kernel and queries in attention's.
#pragma once

#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

// The head x [head_dim], normed and turned to `position`, into out [head_dim]; a whole warp calls
// it. `out` may be x. Dimension j turns with j + head_dim / 2, as Hugging Face lays them.
template <class T>
__device__ __forceinline__ void norm_rope_head(const T* x, const HeadRope& rope, int position,
                                               T* out) {
  constexpr int kPairs = kMaxHeadDim / 2 / 32;  // of a lane
  const int lane = static_cast<int>(threadIdx.x % kWarp), half = rope.head_dim / 2;
  float a[kPairs], b[kPairs];
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kPairs; i++) {
    const int j = lane + i * 32;
    a[i] = j < half ? to_float(x[j]) : 0.0f;
    b[i] = j < half ? to_float(x[j + half]) : 0.0f;
    squares += a[i] * a[i];
    squares += b[i] * b[i];
  }
  float scale = 1.0f;
  if (rope.weight != nullptr) {
    scale = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(rope.head_dim) + rope.eps);
  }
  const float* cos = rope.cos + static_cast<size_t>(position) * half;
  const float* sin = rope.sin + static_cast<size_t>(position) * half;
  __syncwarp();  // all lanes have read x before one writes
#pragma unroll
  for (int i = 0; i < kPairs; i++) {
    const int j = lane + i * 32;
    if (j < half) {
      float first = a[i], second = b[i];
      if (rope.weight != nullptr) {
        first = first * scale * rope.weight[j];
        second = second * scale * rope.weight[j + half];
      }
      out[j] = from_float<T>(first * cos[j] - second * sin[j]);
      out[j + half] = from_float<T>(second * cos[j] + first * sin[j]);
    }
  }
}

}  // namespace proofmill::cuda
