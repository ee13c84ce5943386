// The operations of backend.h on an NVIDIA GPU. All work goes into one stream; what comes back are
// the values of a pass alone, through pinned memory, so that the next pass is under way meanwhile.
#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <optional>
#include <thread>

#include "device/distance.h"
#include "device/error.h"
#include "device/random.h"
#include "gemm.h"
#include "hopper_attention.h"
#include "hopper_gemm.h"
#include "kernels.h"
#include "library.h"
#include "pinned.h"

namespace proofmill {

namespace cuda {

namespace {

// Tokens that share the products of the layers, for each multiprocessor: then tiles of 128 rows by
// 256 columns fill them all, with none left over. 8,448 on an H100.
constexpr size_t kTokensEach = 64;
constexpr size_t kMaxSequences = 1024;
// Passes under way: one at work, one that waits.
constexpr size_t kDepth = 2;
// Recordings that are kept: of a length, one for each chunk of a pass and one for its end.
constexpr size_t kMaxRecordings = 64;
// Pieces of passes that are given ahead: at most so many, and no more than take so long.
constexpr size_t kMarks = 16;
constexpr float kAheadMs = 250;
// Of each of two buffers through which weights go up.
constexpr size_t kStagingBytes = size_t{32} << 20;
constexpr size_t kStagingThreads = 4;
// The newest compute capability that CMakeLists.txt compiles for: the driver compiles for later
// ones.
constexpr int kNewestChip = 90;

// Rows of matrices begin on 16 bytes of bfloat16, as tensor cores want them.
size_t padded(size_t width) { return divide_up(width, 8) * 8; }

// "NVIDIA H100 80GB HBM3": h100_80gb_hbm3
std::string slug(const std::string& name) {
  const std::string vendor = "NVIDIA ";
  std::string out;
  for (const char c : name.rfind(vendor, 0) == 0 ? name.substr(vendor.size()) : name) {
    const bool kept = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    out += !kept ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

double gib(double bytes) { return bytes / (size_t{1} << 30); }

template <class T>
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : utilization_(options.gpu_memory_utilization), device_(options.device) {
    if (!on_hopper()) {
      guarded([&] {
        gemm_.emplace(device_, [this](size_t bytes) { return allocate(bytes); });
        gemm_->expect_unrounded_inputs();
      });
    }
    input_seeds_ = allocate(kMaxSequences * sizeof(uint32_t));
    permutation_seeds_ = allocate(kMaxSequences * sizeof(uint32_t));
    target_norm_ = allocate(sizeof(double));
    for (auto& mark : marks_) mark = std::make_unique<Event>(device_, cudaEventBlockingSync);
    for (Slot& slot : slots_) {
      slot.done = std::make_unique<Event>(device_, cudaEventDisableTiming | cudaEventBlockingSync);
      slot.seeds.reserve(device_, 2 * kMaxSequences * sizeof(uint32_t));
    }
  }

  ~CudaBackend() override {
    cudaSetDevice(device_.index);
    cudaStreamSynchronize(device_.stream);
    drop_recordings();
  }

  // Everything that cuBLASLt's choices and the kernels' code follow from: the card, by name too,
  // since cards with one chip are told apart; how many multiprocessors of it are there for us; the
  // versions of cuBLASLt and of the CUDA compiler; of the driver, where that compiles. On Hopper
  // bfloat16 needs nothing but kernels of this library.
  std::string arithmetic() const override {
    if (on_hopper()) return "cuda-sm90-wgmma-nvcc" + std::to_string(CUDART_VERSION) + "-bf16-1";
    const int capability = 10 * device_.major + device_.minor;
    std::string tag = "cuda-" + slug(device_.name) + "-sm" + std::to_string(capability) + "x" +
                      std::to_string(device_.multiprocessors) + "-lt" +
                      std::to_string(gemm_->library_version()) + "-nvcc" +
                      std::to_string(CUDART_VERSION);
    if (capability > kNewestChip) tag += "-driver" + std::to_string(device_.driver);
    return tag + (kBf16 ? "-bf16-1" : "-f32-1");
  }
  std::string device() const override {
    return "cuda:" + std::to_string(device_.index) + " (" + device_.name + ")";
  }

  Batching batching(size_t seq_len) const override {
    const size_t tokens = kTokensEach * static_cast<size_t>(device_.multiprocessors);
    const size_t chunk = std::clamp<size_t>(tokens / seq_len, 1, kMaxSequences);
    return {chunk, chunk, true, seq_len <= tokens};
  }

  size_t memory_in_use() const override {
    size_t free = 0, total = 0;
    PROOFMILL_CUDA(device_, cudaSetDevice(device_.index));
    PROOFMILL_CUDA(device_, cudaMemGetInfo(&free, &total));
    return total - free;
  }

  double memory_left() const override { return std::max(budget().left, 0.0); }
  size_t bytes(const Footprint& of) const override {
    return of.elements * sizeof(T) + of.floats * sizeof(float);
  }
  // gate and up apart from their product; and choosing an algorithm takes a product's operands
  // twice.
  size_t scratch_bytes(const PassSizes& sizes) const override {
    if (on_hopper()) return sizes.tokens * hopper_parts(sizes.widest) * sizeof(float);
    return sizes.tokens * (padded(sizes.gate_up) + 2 * sizes.widest) * sizeof(T);
  }

  // Large square products, as many as take a while.
  double peak_flops() override {
    return guarded([&] {
      const size_t n = std::clamp<size_t>(padded(64 * device_.multiprocessors), 64, 8192);
      const Buffer a = allocate(n * n * sizeof(T)), w = allocate(n * n * sizeof(T));
      const Buffer d = allocate(n * n * sizeof(T));
      random_weights<T>(device_, 1, 0, n * n, a.as<T>());
      random_weights<T>(device_, 2, 0, n * n, w.as<T>());
      const auto multiply = [&] {
        if constexpr (kBf16) {
          if (on_hopper()) {
            return hopper_product(device_, {a.as<T>(), n, nullptr, 0, 0.0f, w.as<T>(), n, n, n, n},
                                  nullptr, d.as<T>(), n);
          }
        }
        gemm_->run({a.as<T>(), n, w.as<T>(), n, nullptr, d.as<T>(), n, n, n, n, !kBf16, false});
      };
      const Event from(device_, 0), to(device_, 0);
      constexpr int kRuns = 10;
      std::vector<double> rates;
      for (int repeat = 0; repeat < 5; repeat++) {
        multiply();  // warm, and between the clocks of one repeat and the next
        PROOFMILL_CUDA(device_, cudaEventRecord(from.event, device_.stream));
        for (int i = 0; i < kRuns; i++) multiply();
        PROOFMILL_CUDA(device_, cudaEventRecord(to.event, device_.stream));
        PROOFMILL_CUDA(device_, cudaEventSynchronize(to.event));
        float milliseconds = 0;
        PROOFMILL_CUDA(device_, cudaEventElapsedTime(&milliseconds, from.event, to.event));
        const double cube =
            static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
        rates.push_back(2 * kRuns * cube / (milliseconds * 1e-3));
      }
      std::sort(rates.begin(), rates.end());
      return rates[rates.size() / 2];
    });
  }

  // --- Memory and weights ---

  void expect(const Footprint& weights, size_t pass_bytes) override {
    const double needed = static_cast<double>(bytes(weights) + pass_bytes);
    const Budget budget = this->budget();
    if (needed <= budget.left) return;
    fail(
        "the model needs %.1f GiB of GPU memory (%.1f GiB of weights), %.1f GiB are left on GPU "
        "%d, "
        "%s: %.1f GiB of its %.1f are in use, and %.0f %% may be (--gpu-memory-utilization)",
        gib(needed), gib(static_cast<double>(bytes(weights))), gib(std::max(budget.left, 0.0)),
        device_.index, device_.name.c_str(), gib(budget.used), gib(budget.total),
        100 * utilization_);
  }

  Buffer allocate(size_t bytes) override {
    return guarded([&] {
      const Budget budget = this->budget();
      void* memory = nullptr;
      const size_t rounded = std::max<size_t>(divide_up(bytes, 256) * 256, 256);
      cudaError_t error = cudaErrorMemoryAllocation;
      if (static_cast<double>(rounded) <= budget.left) error = cudaMalloc(&memory, rounded);
      if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();  // it is told of here, and is no fault of the device
        fail(
            "out of GPU memory: %.2f GiB are needed, %.2f GiB are left on GPU %d, %s (%.1f GiB of "
            "its %.1f are in use, and %.0f %% may be: --gpu-memory-utilization)",
            gib(static_cast<double>(rounded)), gib(std::max(budget.left, 0.0)), device_.index,
            device_.name.c_str(), gib(budget.used), gib(budget.total), 100 * utilization_);
      }
      PROOFMILL_CUDA(device_, error);
      return Buffer{{memory, [](void* old) { cudaFree(old); }}, rounded};
    });
  }

  Act allocate_act(size_t rows, size_t width) override {
    return guarded([&] {
      Act act{allocate(rows * padded(width) * sizeof(T)), width, padded(width)};
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
    return guarded([&] {
      Buffer buffer = allocate(values.size() * sizeof(float));
      copy_up(buffer.as<float>(), values.data(), values.size() * sizeof(float));
      return buffer;
    });
  }

  Linear pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases) override {
    return guarded([&] {
      size_t rows = 0;
      for (const Tensor& matrix : matrices) rows += matrix.shape[0];
      const size_t width = matrices[0].shape[1];
      Linear packed{rows, width, allocate(rows * padded(width) * sizeof(T)), {}};
      T* at = packed.packed.template as<T>();
      if (padded(width) != width) {
        PROOFMILL_CUDA(device_, cudaMemsetAsync(at, 0, packed.packed.bytes, device_.stream));
      }
      for (const Tensor& matrix : matrices) {
        upload_matrix(matrix, at);
        at += matrix.shape[0] * padded(width);
      }
      if (!biases.empty()) {
        packed.bias = allocate(rows * sizeof(T));
        std::vector<T> values(rows);
        T* bias = values.data();
        for (const Tensor& tensor : biases) {
          read(tensor, 0, tensor.elements(), bias);
          bias += tensor.elements();
        }
        copy_up(packed.bias.template as<T>(), values.data(), rows * sizeof(T));
      }
      return packed;
    });
  }

  // Eight rows of gate, eight of up, and so on: what belongs together lies in one thread's part of
  // a product. Rows past the last feature are zero.
  Linear pack_gate_up(const Tensor& gate, const Tensor& up) override {
    return guarded([&] {
      const size_t width = gate.shape[1], groups = padded(gate.shape[0]) / 8;
      const size_t group = 8 * padded(width) * sizeof(T);  // bytes
      Linear packed{gate.shape[0], width, allocate(2 * groups * group), {}};
      const Buffer rows = allocate(groups * group);
      char* to = packed.packed.template as<char>();
      for (const Tensor* matrix : {&gate, &up}) {
        PROOFMILL_CUDA(device_, cudaMemsetAsync(rows.as<void>(), 0, rows.bytes, device_.stream));
        upload_matrix(*matrix, rows.as<T>());
        PROOFMILL_CUDA(device_,
                       cudaMemcpy2DAsync(to, 2 * group, rows.as<void>(), group, group, groups,
                                         cudaMemcpyDeviceToDevice, device_.stream));
        to += group;
      }
      PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));  // before `rows` goes
      return packed;
    });
  }

  // --- A pass ---

  size_t depth() const override { return kDepth; }

  // Leaves a mark behind what was given so far, and waits while too many are ahead.
  bool step() override {
    if (recording_) return true;
    return guarded([&] {
      PROOFMILL_CUDA(device_, cudaEventRecord(mark(marked_++), device_.stream));
      while (marked_ - passed_ > allowed_) {
        PROOFMILL_CUDA(device_, cudaEventSynchronize(mark(passed_)));
        if (passed_ > 0) {
          float milliseconds = 0;
          PROOFMILL_CUDA(device_,
                         cudaEventElapsedTime(&milliseconds, mark(passed_ - 1), mark(passed_)));
          const float pieces = kAheadMs / std::max(milliseconds, 1e-3f);
          allowed_ = static_cast<size_t>(std::clamp(pieces, 1.0f, kMarks - 2.0f));
        }
        passed_++;
      }
      return !cut.made();
    });
  }

  void begin(const Seeds& seeds, size_t vocab) override {
    guarded([&] {
      PROOFMILL_CUDA(device_, cudaSetDevice(device_.index));
      if (under_way_.size() >= kDepth)
        fail("a third pass was begun before the first was collected");
      // The slot's last copy is done: its pass was collected.
      uint32_t* staged = slots_[next_slot_].seeds.template as<uint32_t>();
      const auto stage = [&](const uint32_t* from, uint32_t* to, Buffer& buffer) {
        std::fill(std::copy_n(from, seeds.count, to), to + kMaxSequences, 0u);
        PROOFMILL_CUDA(device_,
                       cudaMemcpyAsync(buffer.as<uint32_t>(), to, kMaxSequences * sizeof(uint32_t),
                                       cudaMemcpyHostToDevice, device_.stream));
      };
      stage(seeds.inputs, staged, input_seeds_);
      if (!seeds.permutation) return;
      stage(seeds.permutation, staged + kMaxSequences, permutation_seeds_);
      if (target_seed_ == seeds.target && target_vocab_ == vocab) return;
      // Once a round, by the CPU's own code.
      const Target target = make_target(seeds.target, vocab);
      if (target_.bytes < vocab * sizeof(float)) {
        forget();
        target_ = allocate(vocab * sizeof(float));
      }
      copy_up(target_.template as<float>(), target.values.data(), vocab * sizeof(float));
      copy_up(target_norm_.template as<double>(), &target.norm_squared, sizeof(double));
      target_seed_ = seeds.target;
      target_vocab_ = vocab;
    });
  }

  // The first time operations run as they come, since they choose algorithms and take memory; the
  // second time they are recorded.
  void replay(uint64_t key, const std::function<void()>& operations) override {
    guarded([&] {
      const auto found = recordings_.find(key);
      if (found == recordings_.end()) {
        operations();
        if (cut.made()) return;  // some may have been left out: they have not all run
        if (recordings_.size() >= kMaxRecordings) forget();
        recordings_.emplace(key, nullptr);
        return;
      }
      cudaGraphExec_t graph = found->second;
      // Operations may forget every recording: `found` is not used any more.
      if (!graph) recordings_[key] = graph = record(operations);
      PROOFMILL_CUDA(device_, cudaGraphLaunch(graph, device_.stream));
    });
  }

  // Waits for the passes under way: they use what is freed next, and the recordings themselves.
  void forget() override {
    guarded([&] {
      PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
      drop_recordings();
    });
  }

  void trim() override {
    forget();
    gate_up_ = {};
    partial_ = {};
  }

  void finish(const float* values, size_t stride, size_t rows, size_t width, float* out) override {
    guarded([&] {
      Slot& slot = slots_[next_slot_];
      slot.values.reserve(device_, rows * width * sizeof(float));
      slot.count = rows * width;
      slot.out = out;
      const size_t row_bytes = width * sizeof(float);
      if (stride == width) {
        PROOFMILL_CUDA(device_,
                       cudaMemcpyAsync(slot.values.template as<void>(), values, rows * row_bytes,
                                       cudaMemcpyDeviceToHost, device_.stream));
      } else {
        PROOFMILL_CUDA(device_, cudaMemcpy2DAsync(slot.values.template as<void>(), row_bytes,
                                                  values, stride * sizeof(float), row_bytes, rows,
                                                  cudaMemcpyDeviceToHost, device_.stream));
      }
      PROOFMILL_CUDA(device_, cudaEventRecord(slot.done->event, device_.stream));
      under_way_.push_back(next_slot_);
      next_slot_ = (next_slot_ + 1) % kDepth;
    });
  }

  void collect() override {
    if (under_way_.empty()) fail("no pass is under way");
    Slot& slot = slots_[under_way_.front()];
    under_way_.pop_front();
    guarded([&] {
      PROOFMILL_CUDA(device_, cudaEventSynchronize(slot.done->event));
      std::copy_n(slot.values.template as<float>(), slot.count, slot.out);
    });
  }

  void synchronize() override {
    guarded([&] { PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream)); });
  }

  // --- Forward ---

  void inputs(size_t first, size_t sequences, size_t numbers_each, float* x) override {
    cuda::inputs<T>(device_, input_seeds_.as<uint32_t>() + first, sequences, numbers_each, x);
  }

  void rms_norm(const float* x, size_t rows, size_t width, const float* weight, float eps,
                Act& out) override {
    out.parts = 0;
    cuda::rms_norm<T>(device_, x, rows, width, weight, eps, out.data.as<T>(), out.stride);
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
      if (on_hopper() && hopper_turns_heads(shape.head_dim)) {
        return hopper_product_heads(
            device_, hopper(a, w, w.out_features, rows), bias_of(w),
            {q, k, column, shape.q_width(), shape.kv_width(), heads.seq_len, queries}, d,
            out.stride);
      }
    }
    product(a, w, rows, d, out.stride);
    const auto turn = [&](size_t from, size_t end, const HeadRope& rope) {
      if (column >= end) return;
      norm_rope<T>(device_, out.data.as<T>() + from, out.stride, rows,
                   static_cast<int>((end - from) / shape.head_dim), static_cast<int>(heads.seq_len),
                   static_cast<int>(queries), rope);
    };
    turn(0, shape.q_width(), q);
    if (column + w.out_features > shape.q_width()) turn(shape.q_width(), k_end, k);
  }
  void linear(const Act& a, const Linear& w, size_t rows, float* out, size_t out_stride) override {
    if constexpr (kBf16) {
      if (on_hopper()) {
        return hopper_product_float(device_, hopper(a, w, w.out_features, rows), out, out_stride);
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
        float* squares = scratch<float>(normed.squares, rows * normed.parts);
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
    T* both = scratch<T>(gate_up_, rows * 2 * features);
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

  void distances(const float* logits, size_t stride, size_t rows, size_t vocab,
                 float* distances) override {
    double* partial = scratch<double>(partial_, rows * (distance_parts(device_, vocab) + 1));
    cuda::distances(device_, logits, stride, rows, vocab, permutation_seeds_.as<uint32_t>(),
                    target_.template as<float>(), target_norm_.template as<double>(), partial,
                    distances);
  }

  std::vector<uint32_t> permutation(uint32_t seed, size_t n) override {
    return guarded([&] {
      const Buffer device_seed = allocate(sizeof seed), order = allocate(n * sizeof(uint32_t));
      copy_up(device_seed.as<uint32_t>(), &seed, sizeof seed);
      cuda::permutation(device_, device_seed.as<uint32_t>(), n, order.as<uint32_t>());
      std::vector<uint32_t> out(n);
      PROOFMILL_CUDA(device_,
                     cudaMemcpyAsync(out.data(), order.as<uint32_t>(), n * sizeof(uint32_t),
                                     cudaMemcpyDeviceToHost, device_.stream));
      PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
      return out;
    });
  }

  void widen(const Act& a, size_t rows, float* out) override {
    cuda::widen<T>(device_, a.data.as<T>(), a.stride, rows, a.width, out);
  }

 private:
  static constexpr bool kBf16 = sizeof(T) == 2;

  struct Budget {
    double left, used, total;  // bytes
  };
  struct Slot {
    Pinned seeds;   // [2, kMaxSequences]: inputs', permutations'
    Pinned values;  // what finish copies into
    std::unique_ptr<Event> done;
    size_t count = 0;
    float* out = nullptr;
  };

  // An error of the device is for good: whatever it computed after it could be wrong.
  template <class Fn>
  auto guarded(Fn&& fn) -> decltype(fn()) {
    if (!broken_.empty())
      throw DeviceLost("the GPU failed before and is not used again: " + broken_);
    try {
      return fn();
    } catch (const DeviceLost& error) {
      broken_ = error.what();
      throw;
    }
  }

  void drop_recordings() {
    for (const auto& [key, graph] : recordings_) {
      if (graph) cudaGraphExecDestroy(graph);
    }
    recordings_.clear();
  }

  Budget budget() const {
    size_t free = 0, total = 0;
    PROOFMILL_CUDA(device_, cudaSetDevice(device_.index));
    PROOFMILL_CUDA(device_, cudaMemGetInfo(&free, &total));
    const double all = static_cast<double>(total), used = all - static_cast<double>(free);
    return {utilization_ * all - used, used, all};
  }

  // From memory that need not be pinned: it may change when this returns.
  void copy_up(void* to, const void* from, size_t bytes) {
    PROOFMILL_CUDA(device_,
                   cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device_.stream));
    PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
  }

  static void read(const Tensor& tensor, size_t begin, size_t count, T* out) {
    if constexpr (kBf16) {
      tensor.read_bf16(begin, count, out);
    } else {
      tensor.read(begin, count, out);
    }
  }

  // Rows of a matrix, padded, to `to`: read into one pinned buffer while the other goes up.
  void upload_matrix(const Tensor& matrix, T* to) {
    const size_t rows = matrix.shape[0], width = matrix.shape[1], stride = padded(width);
    if (!matrix.file && stride == width) {
      random_weights<T>(device_, matrix.seed, 0, rows * width, to);
      PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
      return;
    }
    const size_t rows_each = std::max<size_t>(1, kStagingBytes / (width * sizeof(T)));
    for (size_t row = 0, turn = 0; row < rows; row += rows_each, turn++) {
      const size_t count = std::min(rows_each, rows - row);
      Pinned& staging = staging_[turn % 2];
      if (turn >= 2) PROOFMILL_CUDA(device_, cudaEventSynchronize(staged_[turn % 2].event));
      staging.reserve(device_, rows_each * width * sizeof(T));
      T* values = staging.template as<T>();
      std::vector<std::thread> readers;
      std::exception_ptr error[kStagingThreads];
      for (size_t part = 0; part < kStagingThreads; part++) {
        const size_t first = count * part / kStagingThreads,
                     end = count * (part + 1) / kStagingThreads;
        readers.emplace_back([&, part, first, end] {
          try {
            read(matrix, (row + first) * width, (end - first) * width, values + first * width);
          } catch (...) {
            error[part] = std::current_exception();
          }
        });
      }
      for (std::thread& reader : readers) reader.join();
      for (const std::exception_ptr& fault : error) {
        if (fault) std::rethrow_exception(fault);
      }
      PROOFMILL_CUDA(device_, cudaMemcpy2DAsync(to + row * stride, stride * sizeof(T), values,
                                                width * sizeof(T), width * sizeof(T), count,
                                                cudaMemcpyHostToDevice, device_.stream));
      PROOFMILL_CUDA(device_, cudaEventRecord(staged_[turn % 2].event, device_.stream));
    }
    PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
    matrix.release();
  }

  // Its own kernels multiply bfloat16 there.
  bool on_hopper() const { return kBf16 && device_.major == 9 && device_.minor == 0; }

  static const T* bias_of(const Linear& w) { return w.bias.bytes ? w.bias.as<T>() : nullptr; }

  HopperProduct hopper(const Act& a, const Linear& w, size_t n, size_t rows) const {
    return {a.data.as<bf16>(),
            a.stride,
            a.parts ? a.squares.as<float>() : nullptr,
            a.parts,
            a.eps,
            w.packed.as<bf16>(),
            padded(w.in_features),
            rows,
            n,
            w.in_features};
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

  cudaEvent_t mark(size_t number) const { return marks_[number % kMarks]->event; }

  // Memory between two operations, as much as the largest shape so far has needed.
  template <class N>
  N* scratch(Buffer& buffer, size_t count) {
    if (buffer.bytes < count * sizeof(N)) {
      forget();  // recordings hold the old address
      buffer = {};
      buffer = allocate(count * sizeof(N));
    }
    return buffer.as<N>();
  }

  cudaGraphExec_t record(const std::function<void()>& operations) {
    PROOFMILL_CUDA(device_,
                   cudaStreamBeginCapture(device_.stream, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    recording_ = true;
    try {
      operations();
    } catch (...) {
      recording_ = false;
      cudaStreamEndCapture(device_.stream, &graph);
      if (graph) cudaGraphDestroy(graph);
      throw;
    }
    recording_ = false;
    PROOFMILL_CUDA(device_, cudaStreamEndCapture(device_.stream, &graph));
    cudaGraphExec_t exec = nullptr;
    const cudaError_t error = cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    PROOFMILL_CUDA(device_, error);
    return exec;
  }

  const double utilization_;
  const Device device_;
  std::string broken_;
  std::optional<Gemm<T>> gemm_;                     // not on Hopper in bfloat16
  std::map<uint64_t, cudaGraphExec_t> recordings_;  // null: has run once
  Buffer input_seeds_, permutation_seeds_;          // [kMaxSequences]
  Buffer target_, target_norm_;                     // [vocab] f32, [1] f64
  uint32_t target_seed_ = 0;
  size_t target_vocab_ = 0;
  Buffer gate_up_, partial_;
  bool recording_ = false;
  std::unique_ptr<Event> marks_[kMarks];  // by number; those before `passed_` have been reached
  size_t marked_ = 0, passed_ = 0, allowed_ = kMarks - 2;
  Slot slots_[kDepth];
  size_t next_slot_ = 0;
  std::deque<size_t> under_way_;  // slots, oldest first
  Pinned staging_[2];
  Event staged_[2] = {{device_, cudaEventDisableTiming}, {device_, cudaEventDisableTiming}};
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
