#include "gemm.h"

#include <numeric>
#include <type_traits>
#include <vector>

#include "device/random.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

using namespace cublaslt;

#define PROOFMILL_LT(device, call) expect_success((call), (device), #call, __LINE__)

void expect_success(Status status, const Device& device, const char* call, int line) {
  if (status == kSuccess) return;
  const std::string text = std::string(call) + " failed with cuBLAS status " +
                           std::to_string(static_cast<int>(status)) +
                           " at gemm.cc:" + std::to_string(line) + " on GPU " +
                           std::to_string(device.index) + ", " + device.name;
  if (status == kAllocationFailed) throw Error("out of memory: " + text);
  throw DeviceLost(text);
}

// How many algorithms are asked for; the fastest are among the first few.
constexpr int kCandidates = 16;

template <class T>
constexpr DataType data_type() {
  return std::is_same_v<T, float> ? kFloat32 : kBfloat16;
}

unsigned alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t bits = 256;
  for (const void* pointer : pointers) bits |= reinterpret_cast<uintptr_t>(pointer);
  return static_cast<unsigned>(bits & (~bits + 1));
}

}  // namespace

template <class T>
Gemm<T>::Gemm(const Device& device, std::function<Buffer(size_t)> allocate)
    : device_(device), lt_(load()), allocate_(std::move(allocate)), handle_(nullptr, lt_.destroy) {
  Handle handle = nullptr;
  PROOFMILL_LT(device_, lt_.create(&handle));
  handle_.reset(handle);
}

template <class T>
Gemm<T>::~Gemm() {
  for (auto& [shape, plan] : plans_) destroy(plan);
}

template <class T>
std::string Gemm<T>::arithmetic() const {
  const int capability = 10 * device_.major + device_.minor;
  std::string tag = "cuda-" + slug(device_.name) + "-sm" + std::to_string(capability) + "x" +
                    std::to_string(device_.multiprocessors) + "-lt" +
                    std::to_string(library_version()) + "-nvcc" + std::to_string(CUDART_VERSION);
  if (capability > kNewestChip) tag += "-driver" + std::to_string(device_.driver);
  return tag + (sizeof(T) == 2 ? "-bf16-1" : "-f32-1");
}

template <class T>
void Gemm<T>::run(const Product<T>& product) {
  multiply(product, plan_of(product));
}

// Multiplies numbers that use every bit of a float32 by the identity.
template <class T>
void Gemm<T>::expect_unrounded_inputs() {
  if constexpr (std::is_same_v<T, float>) {
    constexpr size_t kSize = 256, kBytes = kSize * kSize * sizeof(float);
    std::vector<float> numbers(kSize * kSize), identity(kSize * kSize), products(kSize * kSize);
    for (size_t i = 0; i < numbers.size(); i++) {
      const uint32_t low = static_cast<uint32_t>(i) * 0x9e3779b9u >> 9 | 1u;
      numbers[i] = rng::float_of(0x3f800000u | low);
    }
    for (size_t i = 0; i < kSize; i++) identity[i * kSize + i] = 1.0f;
    const Buffer a = allocate_(kBytes), w = allocate_(kBytes), d = allocate_(kBytes);
    const auto copy = [&](void* to, const void* from, cudaMemcpyKind kind) {
      PROOFMILL_CUDA(device_, cudaMemcpyAsync(to, from, kBytes, kind, device_.stream));
    };
    copy(a.as<float>(), numbers.data(), cudaMemcpyHostToDevice);
    copy(w.as<float>(), identity.data(), cudaMemcpyHostToDevice);
    run({a.as<float>(), kSize, w.as<float>(), kSize, nullptr, d.as<float>(), kSize, kSize, kSize,
         kSize, true, false});
    copy(products.data(), d.as<float>(), cudaMemcpyDeviceToHost);
    PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
    if (products == numbers) return;
    fail(
        "cuBLASLt %zu rounds the inputs of float32 products on GPU %d, %s: unset "
        "NVIDIA_TF32_OVERRIDE, or take --dtype bfloat16",
        library_version(), device_.index, device_.name.c_str());
  }
}

template <class T>
const typename Gemm<T>::Plan& Gemm<T>::plan_of(const Product<T>& p) {
  const Shape shape{p.rows,
                    p.n,
                    p.k,
                    p.a_stride,
                    p.w_stride,
                    p.d_stride,
                    alignment_of({p.a, p.w, p.d}),
                    p.bias != nullptr,
                    p.d_is_float,
                    p.add};
  const auto found = plans_.find(shape);
  if (found != plans_.end()) return found->second;
  Plan plan;
  try {
    describe(p, plan);
    choose(p, shape, plan);
  } catch (...) {
    destroy(plan);
    throw;
  }
  return plans_.emplace(shape, plan).first->second;
}

// Row-major d = a * w^T is column-major d^T = w * a^T: w, read transposed, stands on the left.
template <class T>
void Gemm<T>::describe(const Product<T>& p, Plan& plan) {
  // With this compute type float32 inputs are not rounded to TF32.
  PROOFMILL_LT(device_, lt_.matmul_desc_create(&plan.desc, kCompute32F, kFloat32));
  const int32_t transpose = kTranspose, none = kNone;
  PROOFMILL_LT(device_, lt_.matmul_desc_set(plan.desc, kTransA, &transpose, sizeof transpose));
  PROOFMILL_LT(device_, lt_.matmul_desc_set(plan.desc, kTransB, &none, sizeof none));
  const int32_t epilogue = p.bias ? kEpilogueBias : kEpilogueDefault;
  PROOFMILL_LT(device_, lt_.matmul_desc_set(plan.desc, kEpilogue, &epilogue, sizeof epilogue));
  if (p.bias) {
    PROOFMILL_LT(device_, lt_.matmul_desc_set(plan.desc, kBiasPointer, &p.bias, sizeof p.bias));
  }
  const DataType type = data_type<T>();
  const auto layout = [&](MatrixLayout* made, DataType of, size_t rows, size_t columns,
                          size_t leading) {
    PROOFMILL_LT(device_,
                 lt_.layout_create(made, of, rows, columns, static_cast<int64_t>(leading)));
  };
  layout(&plan.w, type, p.k, p.n, p.w_stride);
  layout(&plan.a, type, p.k, p.rows, p.a_stride);
  layout(&plan.d, p.d_is_float ? kFloat32 : type, p.n, p.rows, p.d_stride);
}

// Takes the first suitable algorithm in the library's own order, which is the same in every run:
// choosing by the clock would give different bits from run to run. Without a workspace and a
// reduction no algorithm can split a sum over k.
template <class T>
void Gemm<T>::choose(const Product<T>& p, const Shape& shape, Plan& plan) {
  Preference preference = nullptr;
  PROOFMILL_LT(device_, lt_.preference_create(&preference));
  const uint64_t workspace = 0;
  const uint32_t reduction = kReductionNone;
  Heuristic found[kCandidates] = {};
  int count = 0;
  Status status = lt_.preference_set(preference, kMaxWorkspaceBytes, &workspace, sizeof workspace);
  if (status == kSuccess) {
    status = lt_.preference_set(preference, kReductionSchemeMask, &reduction, sizeof reduction);
  }
  for (const PreferenceAttribute attribute :
       {kMinAlignmentA, kMinAlignmentB, kMinAlignmentC, kMinAlignmentD}) {
    const uint32_t bytes = shape.alignment;
    if (status == kSuccess)
      status = lt_.preference_set(preference, attribute, &bytes, sizeof bytes);
  }
  if (status == kSuccess) {
    status = lt_.heuristic(handle_.get(), plan.desc, plan.w, plan.a, plan.d, plan.d, preference,
                           kCandidates, found, &count);
  }
  lt_.preference_destroy(preference);
  for (int i = 0; status == kSuccess && i < count; i++) {
    if (found[i].state != kSuccess) continue;
    int32_t split = 1;
    size_t written = 0;
    lt_.algorithm_get(&found[i].algorithm, kAlgorithmSplitK, &split, sizeof split, &written);
    if (split > 1) continue;
    plan.algorithm = found[i].algorithm;
    if (rows_are_independent(p, plan)) return;
  }
  fail(
      "cuBLASLt %zu has no algorithm for a [%zu, %zu] times [%zu, %zu] product (status %d, %d "
      "offered) whose rows are independent, on GPU %d, %s",
      library_version(), p.rows, p.k, p.k, p.n, static_cast<int>(status), count, device_.index,
      device_.name.c_str());
}

// Multiplies random rows twice, the second time in another order, and compares bits.
template <class T>
bool Gemm<T>::rows_are_independent(const Product<T>& p, const Plan& plan) {
  const size_t a_bytes = p.rows * p.a_stride * sizeof(T);
  const size_t d_bytes = p.rows * p.d_stride * (p.d_is_float ? sizeof(float) : sizeof(T));
  const Buffer a = allocate_(a_bytes), permuted = allocate_(a_bytes);
  const Buffer d = allocate_(d_bytes), d_permuted = allocate_(d_bytes), count = allocate_(4);
  // Row r comes to place (r * step + shift) % rows: a permutation, since step and rows share no
  // factor.
  size_t step = p.rows / 3 + 1;
  while (std::gcd(step, p.rows) != 1) step++;
  const size_t shift = p.rows / 2;

  random_weights<T>(device_, 1, 0, p.rows * p.a_stride, a.as<T>());
  permute_rows<T>(device_, a.as<T>(), p.a_stride, p.rows, step, shift, permuted.as<T>());
  PROOFMILL_CUDA(device_, cudaMemsetAsync(d.as<void>(), 0, d_bytes, device_.stream));
  PROOFMILL_CUDA(device_, cudaMemsetAsync(d_permuted.as<void>(), 0, d_bytes, device_.stream));
  PROOFMILL_CUDA(device_, cudaMemsetAsync(count.as<void>(), 0, 4, device_.stream));
  Product<T> product = p;
  product.a = a.as<T>();
  product.d = d.as<void>();
  multiply(product, plan);
  product.a = permuted.as<T>();
  product.d = d_permuted.as<void>();
  multiply(product, plan);
  if (p.d_is_float) {
    count_differences<float>(device_, d.as<float>(), d_permuted.as<float>(), p.d_stride, p.rows,
                             p.n, step, shift, count.as<uint32_t>());
  } else {
    count_differences<T>(device_, d.as<T>(), d_permuted.as<T>(), p.d_stride, p.rows, p.n, step,
                         shift, count.as<uint32_t>());
  }
  uint32_t differences = 1;
  PROOFMILL_CUDA(device_, cudaMemcpyAsync(&differences, count.as<void>(), 4, cudaMemcpyDeviceToHost,
                                          device_.stream));
  PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
  return differences == 0;
}

template <class T>
void Gemm<T>::multiply(const Product<T>& p, const Plan& plan) {
  if (p.bias) {
    PROOFMILL_LT(device_, lt_.matmul_desc_set(plan.desc, kBiasPointer, &p.bias, sizeof p.bias));
  }
  const float alpha = 1.0f, beta = p.add ? 1.0f : 0.0f;
  PROOFMILL_LT(device_,
               lt_.matmul(handle_.get(), plan.desc, &alpha, p.w, plan.w, p.a, plan.a, &beta, p.d,
                          plan.d, p.d, plan.d, &plan.algorithm, nullptr, 0, device_.stream));
}

template <class T>
void Gemm<T>::destroy(Plan& plan) {
  if (plan.desc) lt_.matmul_desc_destroy(plan.desc);
  for (const MatrixLayout layout : {plan.w, plan.a, plan.d}) {
    if (layout) lt_.layout_destroy(layout);
  }
  plan = {};
}

template class Gemm<bf16>;
template class Gemm<float>;

}  // namespace proofmill::cuda
