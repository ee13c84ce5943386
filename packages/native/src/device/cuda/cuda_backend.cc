// The operations of backend.h on an NVIDIA GPU. All work goes into one stream.
#include <algorithm>
#include <optional>

#include "fault.h"
#include "gemm.h"
#include "graphs.h"
#include "hopper_attention.h"
#include "hopper_gemm.h"
#include "kernels.h"
#include "library.h"
#include "passes.h"
#include "proof_ops.h"
#include "rate.h"
#include "weights.h"

namespace proofmill {

namespace cuda {

namespace {

// T: the precision of matrix inputs, bf16 or float.
template <class T>
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : device_(options.device),
        memory_(device_, options.gpu_memory_utilization),
        graphs_(device_, memory_, cut),
        passes_(device_),
        throttle_(device_),
        weights_(device_, memory_, cut),
        proof_ops_(device_, memory_, graphs_, fault_) {
    if (on_hopper()) return;
    fault_.guard([&] {
      gemm_.emplace(device_, [this](size_t bytes) { return memory_.allocate(bytes); });
      gemm_->expect_unrounded_inputs();
    });
  }

  ~CudaBackend() override {
    cudaSetDevice(device_.index);
    cudaStreamSynchronize(device_.stream);
  }

  // In bfloat16 on Hopper only kernels of this library run.
  std::string arithmetic() const override {
    if (on_hopper()) return "cuda-sm90-wgmma-nvcc" + std::to_string(CUDART_VERSION) + "-bf16-1";
    return gemm_->arithmetic();
  }
  std::string device() const override {
    return "cuda:" + std::to_string(device_.index) + " (" + device_.name + ")";
  }

  Batching batching(size_t seq_len) const override {
    const size_t tokens = kTokensEach * static_cast<size_t>(device_.multiprocessors);
    return {std::clamp<size_t>(tokens / seq_len, 1, kMaxSequences), true, seq_len <= tokens};
  }
  Steps steps() const override { return on_hopper() ? Steps{2048, false} : Steps{256, true}; }

  size_t memory_in_use() const override { return memory_.in_use(); }
  double memory_left() const override { return memory_.left(); }
  size_t bytes(const Footprint& of) const override {
    return of.elements * sizeof(T) + of.floats * sizeof(float);
  }
  // Elsewhere than on Hopper, gate and up take memory before SwiGLU, and choosing an algorithm
  // takes a product's operands twice.
  size_t scratch_bytes(const PassSizes& sizes) const override {
    if (on_hopper()) return hopper_scratch_bytes(sizes.tokens, sizes.widest);
    return sizes.tokens * (padded(sizes.gate_up) + 2 * sizes.widest) * sizeof(T);
  }
  ProofOps& proof_ops() override { return proof_ops_; }

  // The rate of large square products.
  double peak_flops() override {
    return fault_.guard([&] {
      const size_t n = std::clamp<size_t>(padded(64 * device_.multiprocessors), 64, 8192);
      const Buffer a = memory_.allocate(n * n * sizeof(T)), w = memory_.allocate(n * n * sizeof(T));
      const Buffer d = memory_.allocate(n * n * sizeof(T));
      random_weights<T>(device_, 1, 0, n * n, a.as<T>());
      random_weights<T>(device_, 2, 0, n * n, w.as<T>());
      const auto multiply = [&] {
        if constexpr (kBf16) {
          const HopperProduct square{a.as<T>(), n, nullptr, 0, 0.0f, w.as<T>(), n, n, n, n};
          if (on_hopper()) return hopper_product(device_, square, nullptr, d.as<T>(), n);
        }
        gemm_->run({a.as<T>(), n, w.as<T>(), n, nullptr, d.as<T>(), n, n, n, n, !kBf16, false});
      };
      const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
      return 2 * cube * rate(device_, multiply);
    });
  }

  double read_bandwidth() override {
    return fault_.guard([&] { return read_rate(device_, memory_); });
  }

  // --- Memory and weights ---
  void require_memory(const Footprint& weights, size_t pass_bytes) override {
    memory_.require(bytes(weights) + pass_bytes, bytes(weights));
  }

  Buffer allocate(size_t bytes) override {
    return fault_.guard([&] { return memory_.allocate(bytes); });
  }

  Act allocate_act(size_t rows, size_t width) override {
    return fault_.guard([&] {
      Act act{memory_.allocate(rows * padded(width) * sizeof(T)), width, padded(width)};
      PROOFMILL_CUDA(device_, cudaMemsetAsync(act.data.template as<void>(), 0, act.data.bytes,
                                              device_.stream));
      PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
      return act;
    });
  }

  Buffer upload(const Tensor& tensor) override {
    std::vector<float> values(tensor.elements());
    tensor.read(0, values.size(), values.data());
    return upload(values);
  }
  Buffer upload(const std::vector<float>& values) override {
    return fault_.guard([&] {
      Buffer buffer = memory_.allocate(values.size() * sizeof(float));
      memory_.copy_up(buffer.as<float>(), values.data(), values.size() * sizeof(float));
      return buffer;
    });
  }
  Linear pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases) override {
    return fault_.guard([&] { return weights_.pack(matrices, biases); });
  }
  Linear pack_gate_up(const Tensor& gate, const Tensor& up) override {
    return fault_.guard([&] { return weights_.pack_gate_up(gate, up); });
  }

  // --- A pass ---

  size_t depth() const override { return Passes::kDepth; }
  bool throttle() override {
    if (graphs_.recording()) return true;
    fault_.guard([&] { throttle_.mark(); });
    return !cut.made();
  }
  void begin_pass() override {
    fault_.guard([&] { passes_.begin(); });
  }
  void copy_in(const void* from, size_t bytes, const Buffer& to) override {
    fault_.guard([&] { passes_.copy_in(from, bytes, to.as<void>()); });
  }
  void run_recorded(uint64_t key, const std::function<void()>& operations) override {
    fault_.guard([&] { graphs_.run(key, operations); });
  }
  void discard_graphs() override {
    fault_.guard([&] { graphs_.discard(); });
  }
  void free_scratch() override {
    discard_graphs();
    between_ = {};
    proof_ops_.free_scratch();
  }
  void copy_out(const float* values, size_t stride, size_t rows, size_t width,
                float* out) override {
    fault_.guard([&] { passes_.copy_out(values, stride, rows, width, out); });
  }
  void wait_pass() override {
    fault_.guard([&] { passes_.wait(); });
  }
  void synchronize() override {
    fault_.guard([&] { PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream)); });
  }

  // --- The forward pass ---

  void rms_norm(const float* x, size_t rows, size_t width, const float* weight, float eps,
                Act& out) override {
    out.parts = 0;
    cuda::rms_norm<T>(device_, x, rows, width, weight, eps, out.data.as<T>(), out.stride);
  }

  void reflect_rms_norm(float* x, size_t rows, size_t width, const float* v, const float* weight,
                        float eps, Act& out) override {
    out.parts = 0;
    cuda::reflect_rms_norm<T>(device_, x, rows, width, v, weight, eps, out.data.as<T>(),
                              out.stride);
  }

  void gather_rows(const float* x, size_t x_stride, size_t rows, size_t width,
                   float* out) override {
    cuda::gather_rows(device_, x, x_stride, rows, width, out);
  }

  void project(const Act& a, const Linear& w, size_t rows, Act& out, size_t column,
               const Heads& heads, size_t queries) override {
    const AttentionShape& shape = heads.shape;
    if (shape.head_dim > static_cast<size_t>(kMaxHeadDim)) {
      fail("head_dim %zu is more than %d, the most on a GPU; --device cpu takes it", shape.head_dim,
           kMaxHeadDim);
    }
    T* d = out.data.as<T>() + column;
    const HeadRope q{heads.q_norm, heads.cos, heads.sin, heads.eps,
                     static_cast<int>(shape.head_dim)};
    HeadRope k = q;
    k.weight = heads.k_norm;
    const size_t k_end = shape.q_width() + shape.kv_width();
    if constexpr (kBf16) {
      if (on_hopper() && hopper_rotates_heads(shape.head_dim)) {
        return hopper_product_heads(device_, hopper(a, w, w.out_features, rows), bias_of(w),
                                    {q, k, column, shape.q_width(), shape.kv_width(), heads.seq_len,
                                     queries, heads.positions},
                                    d, out.stride);
      }
    }
    product(a, w, rows, d, out.stride);
    const auto norm_and_rotate = [&](size_t from, size_t end, const HeadRope& rope) {
      if (column >= end) return;
      norm_rope<T>(device_, out.data.as<T>() + from, out.stride, rows,
                   static_cast<int>((end - from) / shape.head_dim), static_cast<int>(heads.seq_len),
                   static_cast<int>(queries), heads.positions, rope);
    };
    norm_and_rotate(0, shape.q_width(), q);
    if (column + w.out_features > shape.q_width()) norm_and_rotate(shape.q_width(), k_end, k);
  }
  void linear(const Act& a, const Linear& w, size_t rows, float* out, size_t out_stride) override {
    if constexpr (kBf16) {
      if (on_hopper()) {
        return hopper_product_float(device_, hopper(a, w, w.out_features, rows, out), out,
                                    out_stride);
      }
    }
    gemm_->run(product_of(a, w, w.out_features, rows, out, out_stride, true, false));
  }
  void linear_add(const Act& a, const Linear& w, size_t rows, float* x) override {
    if constexpr (kBf16) {
      if (on_hopper()) return hopper_add(a, w, rows, x, {});
    }
    gemm_->run(product_of(a, w, w.out_features, rows, x, w.out_features, true, true));
  }
  void linear_add_norm(const Act& a, const Linear& w, size_t rows, float* x, const float* weight,
                       float eps, Act& normed) override {
    if constexpr (kBf16) {
      if (on_hopper()) {
        normed.parts = hopper_parts(w.out_features);
        normed.eps = eps;
        const size_t most = normed.data.bytes / (normed.stride * sizeof(T));  // rows
        float* squares = graphs_.grown<float>(normed.squares, most * normed.parts);
        return hopper_add(a, w, rows, x, {weight, normed.data.as<bf16>(), normed.stride, squares});
      }
    }
    Backend::linear_add_norm(a, w, rows, x, weight, eps, normed);
  }
  void linear_swiglu(const Act& a, const Linear& gate_up, size_t rows, Act& out) override {
    const size_t features = padded(gate_up.out_features);
    if constexpr (kBf16) {
      if (on_hopper()) {
        return hopper_product_swiglu(device_, hopper(a, gate_up, 2 * features, rows),
                                     out.data.as<T>(), out.stride);
      }
    }
    T* both = graphs_.template grown<T>(between_, rows * 2 * features);
    gemm_->run(product_of(a, gate_up, 2 * features, rows, both, 2 * features, false, false));
    swiglu<T>(device_, both, 2 * features, rows, features, out.data.as<T>(), out.stride);
  }

  void attention(const Attention& args, Act& out) override {
    const AttentionShape& shape = args.heads.shape;
    const T* keys = args.qkv.data.as<T>() + shape.q_width();
    const AttentionArgs<T> all{args.q.data.as<T>(),
                               keys,
                               keys + shape.kv_width(),
                               args.q.stride,
                               args.qkv.stride,
                               static_cast<int>(args.sequences),
                               static_cast<int>(args.heads.seq_len),
                               static_cast<int>(args.queries),
                               static_cast<int>(shape.num_heads),
                               static_cast<int>(shape.num_kv_heads),
                               static_cast<int>(shape.head_dim),
                               out.data.as<T>(),
                               out.stride};
    if constexpr (kBf16) {
      if (on_hopper() && hopper_attends(all)) return hopper_attention(device_, all);
    }
    cuda::attention(device_, all);
  }

  void embed(const Linear& table, const uint32_t* tokens, size_t rows, float* x) override {
    cuda::embed<T>(device_, table.packed.as<T>(), padded(table.in_features), tokens, rows,
                   table.in_features, x);
  }
  void gather_rows_at(const float* x, size_t width, const uint32_t* at, size_t rows,
                      float* out) override {
    cuda::gather_rows_at(device_, x, width, at, rows, out);
  }
  size_t kv_page_bytes(const AttentionShape& shape) const override {
    return 2 * kPageTokens * shape.kv_width() * sizeof(T);
  }
  void keep_kv(const PagedRows& rows, const Heads& heads, const Act& qkv,
               const Buffer& cache) override {
    cuda::keep_kv<T>(device_, rows, qkv.data.as<T>() + heads.shape.q_width(), qkv.stride,
                     heads.shape.kv_width(), cache.as<T>());
  }
  void attend_pages(const PagedRows& rows, const Heads& heads, const Act& q, const Buffer& cache,
                    Act& out) override {
    if (rows.num_spans == 0) return;  // rows that fill up alone: no grid may be empty
    const auto [num, num_kv, dim] = heads.shape;
    float* parts = graphs_.template grown<float>(between_, attend_pages_parts(rows, num, dim));
    cuda::attend_pages<T>(device_, {rows, q.data.as<T>(), q.stride, cache.as<T>(),
                                    static_cast<int>(num), static_cast<int>(num_kv),
                                    static_cast<int>(dim), out.data.as<T>(), out.stride, parts});
  }

  void widen(const Act& a, size_t rows, float* out) override {
    cuda::widen<T>(device_, a.data.as<T>(), a.stride, rows, a.width, out);
  }

 private:
  static constexpr bool kBf16 = sizeof(T) == 2;

  // Whether our own kernels do the products, instead of cuBLASLt.
  bool on_hopper() const { return kBf16 && device_.major == 9 && device_.minor == 0; }

  static const T* bias_of(const Linear& w) { return w.bias.bytes ? w.bias.as<T>() : nullptr; }

  // Sums of few rows go to `sums`, or where there is no such place into memory of our own.
  HopperProduct hopper(const Act& a, const Linear& w, size_t n, size_t rows,
                       float* sums = nullptr) {
    const bool few = hopper_few_rows(rows, w.in_features);
    const size_t most = kHopperFewRows * hopper_sums_stride(n);
    if (few && !sums) sums = graphs_.template grown<float>(between_, most);
    return {a.data.as<bf16>(),
            a.stride,
            a.parts ? a.squares.as<float>() : nullptr,
            a.parts,
            a.eps,
            w.packed.as<bf16>(),
            padded(w.in_features),
            rows,
            n,
            w.in_features,
            few ? sums : nullptr};
  }
  void hopper_add(const Act& a, const Linear& w, size_t rows, float* x, const HopperNext& next) {
    hopper_product_add(device_, hopper(a, w, w.out_features, rows), x, w.out_features, next);
  }

  Product<T> product_of(const Act& a, const Linear& w, size_t n, size_t rows, void* d,
                        size_t d_stride, bool d_is_float, bool add) const {
    return {
        a.data.as<T>(), a.stride, w.packed.as<T>(), padded(w.in_features), bias_of(w), d, d_stride,
        rows,           n,        a.stride,         d_is_float || !kBf16,  add};
  }
  // d [rows, N] = a * w^T + bias, in the precision of matrix inputs
  void product(const Act& a, const Linear& w, size_t rows, T* d, size_t d_stride) {
    if constexpr (kBf16) {
      if (on_hopper()) {
        return hopper_product(device_, hopper(a, w, w.out_features, rows), bias_of(w), d, d_stride);
      }
    }
    gemm_->run(product_of(a, w, w.out_features, rows, d, d_stride, false, false));
  }

  const Device device_;
  const Memory memory_;
  Fault fault_;
  Graphs graphs_;
  Passes passes_;
  Throttle throttle_;
  WeightLoader<T> weights_;
  CudaProofOps<T> proof_ops_;
  std::optional<Gemm<T>> gemm_;  // not on Hopper in bfloat16
  Buffer between_;  // gate and up before SwiGLU, sums of few rows, results of chunks of keys
};

}  // namespace

}  // namespace cuda

extern "C" {

__attribute__((visibility("default"))) const char* proofmill_cuda_interface() {
  return PROOFMILL_CUDA_INTERFACE;
}

__attribute__((visibility("default"))) int proofmill_cuda_device_count(char* text, size_t bytes) {
  try {
    return cuda::count_devices();
  } catch (const std::exception& error) {
    std::snprintf(text, bytes, "%s", error.what());
    return -1;
  }
}

__attribute__((visibility("default"))) Backend* proofmill_cuda_backend(const CudaOptions* options) {
  if (options->precision == Precision::bfloat16) return new cuda::CudaBackend<cuda::bf16>(*options);
  return new cuda::CudaBackend<float>(*options);
}
}

}  // namespace proofmill
