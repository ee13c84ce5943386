// cuBLASLt as far as it is used: products by three loops, in the stream's turn.
#include "device/cuda/cublaslt.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda_runtime.h"

using namespace proofmill::cublaslt;

namespace proofmill::cublaslt {

struct OpaqueHandle {
  const emulated::Held held{};
};
struct OpaquePreference {
  const emulated::Held held{};
  uint32_t alignment = 256;
};
struct OpaqueMatrixLayout {
  DataType type;
  uint64_t rows, columns;
  int64_t leading;
  const emulated::Held held{};
};
struct OpaqueMatmulDesc {
  ComputeType compute;
  int32_t transposed_a = 0, transposed_b = 0, epilogue = kEpilogueDefault;
  const void* bias = nullptr;
  const emulated::Held held{};
};

}  // namespace proofmill::cublaslt

namespace {

float from_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

float read(const void* from, DataType type, size_t at) {
  if (type == kFloat32) return static_cast<const float*>(from)[at];
  return from_bits(uint32_t{static_cast<const uint16_t*>(from)[at]} << 16);
}

// An input of a product: as the real library, it takes the environment's word for TF32, which keeps
// ten bits.
float read_input(const void* from, DataType type, size_t at) {
  static const bool tf32 = [] {
    const char* text = std::getenv("NVIDIA_TF32_OVERRIDE");
    return text != nullptr && std::atol(text) == 1;
  }();
  const float x = read(from, type, at);
  if (!tf32) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return from_bits(bits & 0xffffe000u);
}

void write(void* to, DataType type, size_t at, float x) {
  if (type == kFloat32) {
    static_cast<float*>(to)[at] = x;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const bool nan = x != x;
  static_cast<uint16_t*>(to)[at] =
      static_cast<uint16_t>(nan ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED size_t cublasLtGetVersion() { return 130000; }
EXPORTED Status cublasLtCreate(Handle* handle) {
  *handle = new OpaqueHandle;
  return kSuccess;
}
EXPORTED Status cublasLtDestroy(Handle handle) {
  delete handle;
  return kSuccess;
}
EXPORTED Status cublasLtMatmulDescCreate(MatmulDesc* desc, ComputeType compute, DataType) {
  *desc = new OpaqueMatmulDesc{compute};
  return kSuccess;
}
EXPORTED Status cublasLtMatmulDescDestroy(MatmulDesc desc) {
  delete desc;
  return kSuccess;
}
EXPORTED Status cublasLtMatmulDescSetAttribute(MatmulDesc desc, MatmulAttribute attribute,
                                               const void* value, size_t bytes) {
  void* to = nullptr;
  switch (attribute) {
    case kTransA:
      to = &desc->transposed_a;
      break;
    case kTransB:
      to = &desc->transposed_b;
      break;
    case kEpilogue:
      to = &desc->epilogue;
      break;
    case kBiasPointer:
      to = &desc->bias;
      break;
  }
  std::memcpy(to, value, bytes);
  return kSuccess;
}
EXPORTED Status cublasLtMatrixLayoutCreate(MatrixLayout* layout, DataType type, uint64_t rows,
                                           uint64_t columns, int64_t leading) {
  *layout = new OpaqueMatrixLayout{type, rows, columns, leading, {}};
  return kSuccess;
}
EXPORTED Status cublasLtMatrixLayoutDestroy(MatrixLayout layout) {
  delete layout;
  return kSuccess;
}
EXPORTED Status cublasLtMatmulPreferenceCreate(Preference* preference) {
  *preference = new OpaquePreference;
  return kSuccess;
}
EXPORTED Status cublasLtMatmulPreferenceDestroy(Preference preference) {
  delete preference;
  return kSuccess;
}
EXPORTED Status cublasLtMatmulPreferenceSetAttribute(Preference preference,
                                                     PreferenceAttribute attribute,
                                                     const void* value, size_t bytes) {
  if (attribute == kMinAlignmentD) std::memcpy(&preference->alignment, value, bytes);
  return kSuccess;
}
// Three algorithms are offered: one that splits the sum, one whose rows depend on their place, and
// the right one. Each begins its sums at another place for every alignment.
EXPORTED Status cublasLtMatmulAlgoGetHeuristic(Handle, MatmulDesc, MatrixLayout, MatrixLayout,
                                               MatrixLayout, MatrixLayout, Preference preference,
                                               int wanted, Heuristic* results, int* found) {
  *found = wanted < 3 ? wanted : 3;
  for (int i = 0; i < *found; i++) {
    results[i] = {};
    results[i].algorithm.data[0] = static_cast<uint64_t>(i);
    results[i].algorithm.data[1] = 256 / preference->alignment - 1;
  }
  return kSuccess;
}
EXPORTED Status cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, AlgorithmAttribute,
                                                     void* value, size_t, size_t* written) {
  const int32_t split = algorithm->data[0] == 0 ? 2 : 1;
  std::memcpy(value, &split, sizeof split);
  *written = sizeof split;
  return kSuccess;
}
EXPORTED Status cublasLtMatmul(Handle, MatmulDesc desc, const void* alpha, const void* a,
                               MatrixLayout a_layout, const void* b, MatrixLayout b_layout,
                               const void* beta, const void* c, MatrixLayout, void* d,
                               MatrixLayout d_layout, const Algorithm* algorithm, void*, size_t,
                               cudaStream_t stream) {
  if (!desc->transposed_a || desc->transposed_b || *static_cast<const float*>(alpha) != 1.0f ||
      c != d || a_layout->rows != b_layout->rows) {
    return static_cast<Status>(15);  // not supported
  }
  const bool faulty = algorithm->data[0] == 1 && d_layout->columns > 1;
  const size_t begin = algorithm->data[1];
  const bool add = *static_cast<const float*>(beta) != 0.0f;
  const OpaqueMatmulDesc is = *desc;
  const OpaqueMatrixLayout la = *a_layout, lb = *b_layout, ld = *d_layout;
  emulated::enqueue(stream, [=] {
    const size_t depth = la.rows;
    std::vector<float> left(depth * ld.rows), right(depth), sums(ld.rows);
    for (size_t i = 0; i < ld.rows; i++) {
      for (size_t k = 0; k < depth; k++)
        left[k * ld.rows + i] = read_input(a, la.type, i * la.leading + k);
    }
    for (size_t j = 0; j < ld.columns; j++) {
      for (size_t k = 0; k < depth; k++) right[k] = read_input(b, lb.type, j * lb.leading + k);
      std::fill(sums.begin(), sums.end(), faulty && j == 0 ? 1e-3f : 0.0f);
      // Each sum goes over k in one order; side by side they are fast.
      for (size_t each = 0; each < depth; each++) {
        const size_t k = (begin + each) % depth;
        for (size_t i = 0; i < ld.rows; i++) sums[i] += left[k * ld.rows + i] * right[k];
      }
      for (size_t i = 0; i < ld.rows; i++) {
        const size_t at = j * ld.leading + i;
        float sum = sums[i];
        if (is.epilogue == kEpilogueBias) sum += read(is.bias, la.type, i);
        if (add) sum += read(d, ld.type, at);
        write(d, ld.type, at, sum);
      }
    }
  });
  return kSuccess;
}
