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

}  // namespace proofmill::PROOFMILL_ISA
