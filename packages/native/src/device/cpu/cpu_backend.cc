// The operations of backend.h on the CPU. Each is cut into parts, which the threads of a pool take
// and do with the kernels of one ISA.
#include "cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

#include "bandwidth.h"
#include "cpu_attention.h"
#include "denormals.h"
#include "device/error.h"
#include "device/random.h"
#include "device/threads.h"
#include "memory.h"
#include "packing.h"
#include "proof_ops.h"

namespace proofmill {

namespace cpu {

namespace {

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

class CpuBackend final : public Backend {
 public:
  CpuBackend(Precision precision, size_t threads, const Kernels& kernels, PassLimits limits)
      : limits_(limits),
        bf16_(precision == Precision::bfloat16),
        kernels_(kernels),
        pool_(threads, cut),
        storage_(!bf16_        ? Storage::exact
                 : kernels.dot ? Storage::bf16
                               : Storage::rounded),
        packing_(pool_, bf16_),
        proof_ops_(pool_, kernels, bf16_),
        attention_(pool_, kernels, storage_, cut) {}

  std::string arithmetic() const override {
    if (!bf16_) return kernels_.fused ? "cpu-fma-f32-1" : "cpu-mul-add-f32-1";
    const FlushDenormals flush(true);
    if (kernels_.dot && !kernels_.dot_is_fma()) return "cpu-dot-bf16-3";
    return kernels_.fused ? "cpu-fma-bf16-3" : "cpu-mul-add-bf16-3";
  }
  std::string device() const override {
    return "cpu (" + std::string(kernels_.isa) + ", " + std::to_string(pool_.size()) +
           (pool_.size() == 1 ? " thread)" : " threads)");
  }

  Batching batching(size_t seq_len) const override {
    const size_t sequences = std::clamp<size_t>(limits_.tokens / seq_len, 1, limits_.sequences);
    return {sequences, false, false};
  }

  // It is measured for about a second, since what a shared machine grants changes within tenths of
  // one.
  double peak_flops() override {
    using Clock = std::chrono::steady_clock;
    constexpr size_t kRounds = 1 << 16, kPartsEach = 4096;
    const Peak& peak = bf16_ && kernels_.dot ? kernels_.dot_peak : kernels_.peak;
    const size_t parts = kPartsEach * pool_.size();
    const Clock::time_point start = Clock::now();
    pool_.run(parts, [&](size_t, size_t) {
      const volatile float kept = peak.run(kRounds);
      (void)kept;
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return static_cast<double>(parts * kRounds * peak.flops_each) / seconds;
  }

  double read_bandwidth() override { return cpu::read_bandwidth(kernels_, pool_); }

  // What the operating system says of the process's memory tells more than this could.
  size_t memory_in_use() const override { return 0; }
  double memory_left() const override { return std::numeric_limits<double>::infinity(); }
  size_t bytes(const Footprint& of) const override {
    return (of.elements + of.floats) * sizeof(float);
  }
  size_t scratch_bytes(const PassSizes& sizes) const override {
    return pool_.size() * attention_.scratch_bytes(sizes.seq_len, sizes.head_dim);
  }
  ProofOps& proof_ops() override { return proof_ops_; }
  // Whether a model fits was decided before its files were mapped, from the machine's free memory.
  void require_memory(const Footprint&, size_t) override {}

  Buffer allocate(size_t bytes) override { return cpu::allocate(bytes); }
  Act allocate_act(size_t rows, size_t width) override {
    const size_t stride = divide_up(width, 2) * 2;  // for pairs of bf16
    Act act{allocate(rows * stride * sizeof(float)), width, stride};
    // All of it is cleared only where there is something between rows: clearing gigabytes takes
    // seconds, in which a job could not be cut.
    if (stride != width) std::memset(act.data.as<char>(), 0, act.data.bytes);
    return act;
  }

  Buffer upload(const Tensor& tensor) override {
    Buffer buffer = allocate(tensor.elements() * sizeof(float));
    tensor.read(0, tensor.elements(), buffer.as<float>());
    return buffer;
  }

  Buffer upload(const std::vector<float>& values) override {
    Buffer buffer = allocate(values.size() * sizeof(float));
    std::memcpy(buffer.as<float>(), values.data(), values.size() * sizeof(float));
    return buffer;
  }

  Linear pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases) override {
    return packing_.pack(matrices, biases);
  }
  Linear pack_gate_up(const Tensor& gate, const Tensor& up) override {
    return packing_.pack_gate_up(gate, up);
  }

  // Every operation is done when it returns: a pass has nothing to wait for.
  void begin_pass() override {}
  void copy_in(const void* from, size_t bytes, const Buffer& to) override {
    std::memcpy(to.as<void>(), from, bytes);
  }
  void copy_out(const float* values, size_t stride, size_t rows, size_t width,
                float* out) override {
    gather_rows(values, stride, rows, width, out);
  }
  void wait_pass() override {}

  void free_scratch() override { attention_.free_scratch(); }

  void rms_norm(const float* x, size_t rows, size_t width, const float* weight, float eps,
                Act& out) override {
    for_rows(rows, [&](size_t first, size_t count) {
      const FlushDenormals flush(bf16_);
      kernels_.rms_norm(x + first * width, width, count, width, weight, eps, storage_,
                        element(out, first * out.stride), out.stride);
    });
    out.wide = storage_ != Storage::bf16;
  }

  void reflect_rms_norm(float* x, size_t rows, size_t width, const float* v, const float* weight,
                        float eps, Act& out) override {
    for_rows(rows, [&](size_t first, size_t count) {
      const FlushDenormals flush(bf16_);
      kernels_.reflect_rms_norm(x + first * width, count, width, v, weight, eps, storage_,
                                element(out, first * out.stride), out.stride);
    });
    out.wide = storage_ != Storage::bf16;
  }

  void gather_rows(const float* x, size_t x_stride, size_t rows, size_t width,
                   float* out) override {
    for (size_t row = 0; row < rows; row++) {
      std::memcpy(out + row * width, x + row * x_stride, width * sizeof(float));
    }
  }

  // `attention` norms and rotates heads, while it reads them.
  void project(const Act& a, const Linear& w, size_t rows, Act& out, size_t column, const Heads&,
               size_t) override {
    product(a, w, rows, GemmBlock::Epilogue::store, out.data.as<float>() + column, out.stride);
    out.wide = true;
  }
  void linear(const Act& a, const Linear& w, size_t rows, float* out, size_t out_stride) override {
    product(a, w, rows, GemmBlock::Epilogue::store, out, out_stride);
  }
  void linear_add(const Act& a, const Linear& w, size_t rows, float* x) override {
    product(a, w, rows, GemmBlock::Epilogue::add, x, w.out_features);
  }
  void linear_swiglu(const Act& a, const Linear& gate_up, size_t rows, Act& out) override {
    product(a, gate_up, rows, GemmBlock::Epilogue::swiglu, out.data.as<char>(), out.stride);
    out.wide = storage_ != Storage::bf16;
  }

  void attention(const Attention& args, Act& out) override { attention_.of_sequences(args, out); }
  size_t kv_page_bytes(const AttentionShape& shape) const override {
    return attention_.page_bytes(shape);
  }
  void keep_kv(const PagedRows& rows, const Heads& heads, const Act& qkv,
               const Buffer& cache) override {
    attention_.keep_kv(rows, heads, qkv, cache);
  }
  void attend_pages(const PagedRows& rows, const Heads& heads, const Act& q, const Buffer& cache,
                    Act& out) override {
    attention_.of_pages(rows, heads, q, cache, out);
  }

  void embed(const Linear& table, const uint32_t* tokens, size_t rows, float* x) override {
    for_rows(rows, [&](size_t first, size_t count) {
      for (size_t row = first; row < first + count; row++) {
        packing_.unpack_row(table, tokens[row], x + row * table.in_features);
      }
    });
  }

  void gather_rows_at(const float* x, size_t width, const uint32_t* at, size_t rows,
                      float* out) override {
    for (size_t row = 0; row < rows; row++) {
      std::memcpy(out + row * width, x + at[row] * width, width * sizeof(float));
    }
  }

  void widen(const Act& a, size_t rows, float* out) override {
    for (size_t row = 0; row < rows; row++) {
      for (size_t i = 0; i < a.width; i++) {
        const size_t at = row * a.stride + i;
        out[row * a.width + i] =
            a.wide ? a.data.as<float>()[at] : rng::from_bf16(a.data.as<uint16_t>()[at]);
      }
    }
  }

 private:
  void* element(const Act& act, size_t at) const { return cpu::element(act, at, storage_); }

  template <class Fn>
  void for_rows(size_t rows, Fn&& fn) {
    constexpr size_t kRows = 32;
    pool_.run(divide_up(rows, kRows), [&](size_t part, size_t) {
      const size_t first = part * kRows;
      fn(first, std::min(kRows, rows - first));
    });
  }

  // Each thread has a share of the rows, and all threads go through the columns together: so a
  // weight comes from memory once, and stays in a cache while every thread's rows are multiplied by
  // it.
  void product(const Act& a, const Linear& w, size_t rows, GemmBlock::Epilogue epilogue, void* out,
               size_t out_stride) {
    if (rows == 0) return;
    constexpr size_t kFewRows = 48;  // fewer are not worth that a thread reads all weights for them
    const bool swiglu = epilogue == GemmBlock::Epilogue::swiglu;
    const size_t panels = divide_up(w.out_features, kPanelColumns) * (swiglu ? 2 : 1);
    const size_t chunks = divide_up(panels, kBlockPanels);
    const size_t groups = std::clamp<size_t>(rows / kFewRows, 1, pool_.size());
    const size_t blocks = divide_up(rows, groups * kBlockRows);  // of a group
    const size_t rows_each = divide_up(rows, groups * blocks * kRowStep) * kRowStep;
    const size_t columns_each = kBlockPanels * kPanelColumns / (swiglu ? 2 : 1);
    const size_t panel_bytes = packing_.panel_bytes(w.in_features);
    const size_t out_size = swiglu ? size_of(storage_) : sizeof(float);
    pool_.run(groups * chunks * blocks, [&](size_t part, size_t) {
      const size_t group = part / (chunks * blocks), chunk = part / blocks % chunks;
      const size_t row = (group * blocks + part % blocks) * rows_each;
      if (row >= rows) return;
      const size_t column = chunk * columns_each;
      const FlushDenormals flush(bf16_);
      kernels_.gemm({element(a, row * a.stride), a.stride, std::min(rows_each, rows - row),
                     w.in_features, w.packed.as<char>() + chunk * kBlockPanels * panel_bytes, bf16_,
                     std::min(kBlockPanels, panels - chunk * kBlockPanels), epilogue,
                     w.bias.bytes != 0 ? w.bias.as<float>() + column : nullptr,
                     static_cast<char*>(out) + (row * out_stride + column) * out_size, out_stride,
                     std::min(columns_each, w.out_features - column)});
    });
  }

  const PassLimits limits_;
  const bool bf16_;
  const Kernels& kernels_;
  ThreadPool pool_;
  const Storage storage_;  // of what matrix products read
  const Packing packing_;
  CpuProofOps proof_ops_;
  CpuAttention attention_;
};

}  // namespace

}  // namespace cpu

std::vector<std::string> cpu_isas() {
  size_t count;
  const Kernels* const* all = available_kernels(&count);
  std::vector<std::string> names;
  for (size_t i = 0; i < count; i++) names.emplace_back(all[i]->isa);
  return names;
}

namespace {

const Kernels& find_kernels(const std::string& isa) {
  size_t count;
  const Kernels* const* all = available_kernels(&count);
  for (size_t i = 0; i < count; i++) {
    if (isa.empty() || isa == all[i]->isa) return *all[i];
  }
  std::string known;
  for (const std::string& name : cpu_isas()) known += (known.empty() ? "" : ", ") + name;
  fail("instruction set '%s' is not one that this CPU and build have: %s", isa.c_str(),
       known.c_str());
}

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const Kernels& kernels, PassLimits limits) {
  if (threads < 1 || threads > 1024) fail("threads must be between 1 and 1024, not %zu", threads);
  if (limits.tokens < 1 || limits.sequences < 1) fail("a pass must hold at least one sequence");
  return std::make_unique<cpu::CpuBackend>(precision, threads, kernels, limits);
}

std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const std::string& isa, PassLimits limits) {
  return make_cpu_backend(precision, threads, find_kernels(isa), limits);
}

}  // namespace proofmill
