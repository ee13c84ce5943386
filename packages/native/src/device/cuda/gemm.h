// Matrix products through cuBLASLt, with one algorithm per shape that keeps a row's bits
// independent of its place and its neighbours.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "cublaslt.h"
#include "device.h"
#include "device/backend.h"

namespace proofmill::cuda {

// d [rows, n] (+)= a [rows, k] * w^T + bias, w [n, k]; a, w, bias and, unless it is float32, d are
// of T, the precision of matrix inputs. Strides count elements of a row.
template <class T>
struct Product {
  const T* a;
  size_t a_stride;
  const T* w;
  size_t w_stride;
  const T* bias;  // [n] or null
  void* d;
  size_t d_stride;
  size_t rows, n, k;
  bool d_is_float;
  bool add;  // to what d holds
};

template <class T>
class Gemm {
 public:
  // `allocate` gives memory of the device, or throws.
  Gemm(const Device& device, std::function<Buffer(size_t bytes)> allocate);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // A shape's first product chooses its algorithm, which takes a while and waits for the device: it
  // must not happen while a graph is recorded.
  void run(const Product<T>& product);
  // Throws where products round float32 inputs, as the environment may ask of cuBLAS: the tag would
  // not show it.
  void expect_unrounded_inputs();
  // The tag of everything that decides what cuBLASLt chooses and how the kernels are compiled: the
  // card (by name too, since cuBLASLt may tell cards with one chip apart), how many of its
  // multiprocessors we may use, the versions of cuBLASLt and of the CUDA compiler, and of the
  // driver where that compiles.
  std::string arithmetic() const;

 private:
  // E.g. 130100; algorithms may differ between versions.
  size_t library_version() const { return lt_.get_version(); }
  struct Shape {
    size_t rows, n, k, a_stride, w_stride, d_stride;
    unsigned alignment;  // bytes that all pointers are multiples of, at most 256
    bool biased, d_is_float, add;
    auto tie() const {
      return std::tie(rows, n, k, a_stride, w_stride, d_stride, alignment, biased, d_is_float, add);
    }
    bool operator<(const Shape& other) const { return tie() < other.tie(); }
  };
  struct Plan {
    cublaslt::MatmulDesc desc = nullptr;
    cublaslt::MatrixLayout w = nullptr, a = nullptr, d = nullptr;
    cublaslt::Algorithm algorithm{};
  };
  const Plan& plan_of(const Product<T>& product);
  void describe(const Product<T>& product, Plan& plan);
  void choose(const Product<T>& product, const Shape& shape, Plan& plan);
  bool rows_are_independent(const Product<T>& product, const Plan& plan);
  void multiply(const Product<T>& product, const Plan& plan);
  void destroy(Plan& plan);

  const Device& device_;
  const cublaslt::Functions& lt_;
  const std::function<Buffer(size_t)> allocate_;
  std::unique_ptr<cublaslt::OpaqueHandle, cublaslt::Status (*)(cublaslt::Handle)> handle_;
  std::map<Shape, Plan> plans_;
};

extern template class Gemm<bf16>;
extern template class Gemm<float>;

}  // namespace proofmill::cuda
