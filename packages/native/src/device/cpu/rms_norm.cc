#include "kernels_isa.h"
#include "norm_rope.h"

namespace proofmill::PROOFMILL_ISA {

void rms_norm(const float* x, size_t x_stride, size_t rows, size_t width, const float* weight,
              float eps, Storage storage, void* out, size_t out_stride) {
  for (size_t row = 0; row < rows; row++) {
    const float* in = x + row * x_stride;
    void* y = static_cast<char*>(out) + row * out_stride * size_of(storage);
    const float scale = inverse_rms(in, width, eps);
    for_vectors(width, [&](size_t i, size_t n) {
      store(y, i, (load(in + i, n) * scale) * load(weight + i, n), n, storage);
    });
  }
}

void reflect_rms_norm(float* x, size_t rows, size_t width, const float* v, const float* weight,
                      float eps, Storage storage, void* out, size_t out_stride) {
  for (size_t row = 0; row < rows; row++) {
    float* in = x + row * width;
    void* y = static_cast<char*>(out) + row * out_stride * size_of(storage);
    // A reflection leaves a row's length as it is, so that both sums can be taken at once.
    const float scale = inverse_rms(in, width, eps);
    const vf factor = splat(-2.0f * dot_product(in, v, width));
    for_vectors(width, [&](size_t i, size_t n) {
      const vf reflected = fma(factor, load(v + i, n), load(in + i, n));
      store(in, i, reflected, n, Storage::exact);
      store(y, i, (reflected * scale) * load(weight + i, n), n, storage);
    });
  }
}

}  // namespace proofmill::PROOFMILL_ISA
