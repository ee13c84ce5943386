#include "kernels_isa.h"
#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

// Sum of x_i^2 in 16 interleaved sums, then folded: one order for every ISA.
float sum_of_squares(const float* x, size_t n) {
  vf sums[kVectors] = {};
  size_t i = 0;
  for (; i + kPanel <= n; i += kPanel) {
    for (int v = 0; v < kVectors; v++) {
      const vf y = load(x + i + v * kLanes);
      sums[v] = fma(y, y, sums[v]);
    }
  }
  if (i < n) {
    float rest[kPanel] = {};
    for (size_t j = i; j < n; j++) rest[j - i] = x[j];
    for (int v = 0; v < kVectors; v++) {
      const vf y = load(rest + v * kLanes);
      sums[v] = fma(y, y, sums[v]);
    }
  }
  return sum16(sums);
}

// 1 / sqrt(mean of squares + eps)
float inverse_rms(const float* x, size_t n, float eps) {
  return 1.0f / __builtin_sqrtf(sum_of_squares(x, n) / static_cast<float>(n) + eps);
}

}  // namespace

void rms_norm(const float* x, size_t x_stride, size_t rows, size_t width, const float* weight,
              float eps, Storage storage, void* out, size_t out_stride) {
  for (size_t row = 0; row < rows; row++) {
    const float* in = x + row * x_stride;
    void* y = static_cast<char*>(out) + row * out_stride * size_of(storage);
    const float scale = inverse_rms(in, width, eps);
    size_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      store(y, i, (load(in + i) * scale) * load(weight + i), kLanes, storage);
    }
    if (i < width) {
      float z[kLanes] = {};
      for (size_t j = i; j < width; j++) z[j - i] = (in[j] * scale) * weight[j];
      store(y, i, load(z), width - i, storage);
    }
  }
}

void norm_rope(const NormRopeRows& args) {
  const size_t half = args.head_dim / 2;
  for (size_t r = args.first_row; r < args.first_row + args.rows; r++) {
    const size_t position = args.first_position + r % args.seq_len;
    const float* cos = args.cos + position * half;
    const float* sin = args.sin + position * half;
    for (size_t h = 0; h < args.heads; h++) {
      float* x = args.x + r * args.x_stride + h * args.head_dim;
      if (args.weight) {
        const float scale = inverse_rms(x, args.head_dim, args.eps);
        for (size_t j = 0; j < args.head_dim; j++) x[j] = (x[j] * scale) * args.weight[j];
      }
      // Dimension j turns with j + head_dim / 2, as Hugging Face lays them.
      for (size_t j = 0; j < half; j++) {
        const float a = x[j], b = x[j + half];
        x[j] = a * cos[j] - b * sin[j];
        x[j + half] = b * cos[j] + a * sin[j];
      }
    }
  }
}

}  // namespace proofmill::PROOFMILL_ISA
