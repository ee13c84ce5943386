// The operations of backend.h on the CPU: each is cut into parts that the thread pool shares out
// over the kernels of one ISA.
#include "cpu_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "denormals.h"
#include "device/distance.h"
#include "device/error.h"
#include "device/random.h"
#include "device/threads.h"

namespace proofmill {

namespace {

constexpr size_t kHugePage = 2 << 20;

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
        attention_scratch_(threads),
        rankings_(threads) {}

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
    return {sequences, sequences, false, false};
  }

  // Over about a second, as a search is measured over seconds: what a shared machine grants changes
  // within tenths of one.
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

  // The process's own memory tells more.
  size_t memory_in_use() const override { return 0; }
  double memory_left() const override { return std::numeric_limits<double>::infinity(); }
  size_t bytes(const Footprint& of) const override {
    return (of.elements + of.floats) * sizeof(float);
  }
  size_t scratch_bytes(const PassSizes& sizes) const override {
    return pool_.size() * attention_scratch_bytes(sizes.seq_len, sizes.head_dim);
  }
  // What fits is decided before the files are mapped, from the machine's free memory.
  void expect(const Footprint&, size_t) override {}

  Buffer allocate(size_t bytes) override {
    // Products walk through weights and activations by thousands of pages.
    const bool huge = bytes >= 2 * kHugePage;
    const size_t alignment = huge ? kHugePage : 64;
    const size_t rounded = std::max<size_t>(divide_up(bytes, 64) * 64, 64);
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, rounded) != 0) {
      fail("out of memory: %zu bytes for the model could not be had", rounded);
    }
#ifdef MADV_HUGEPAGE
    if (huge) madvise(memory, rounded, MADV_HUGEPAGE);  // as good without, only slower
#endif
    return {{memory, std::free}, rounded};
  }
  Act allocate_act(size_t rows, size_t width) override {
    const size_t stride = divide_up(width, 2) * 2;  // for pairs of bf16
    Act act{allocate(rows * stride * sizeof(float)), width, stride};
    // Clearing gigabytes takes seconds, in which nothing could be cut.
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
    size_t rows = 0;
    for (const Tensor& matrix : matrices) rows += matrix.shape[0];
    Linear packed = pack_rows(rows, matrices[0].shape[1], [&](size_t row, float* out) {
      for (const Tensor& matrix : matrices) {
        if (row < matrix.shape[0]) return matrix.read(row * matrix.shape[1], matrix.shape[1], out);
        row -= matrix.shape[0];
      }
    });
    for (const Tensor& matrix : matrices) matrix.release();
    if (!biases.empty()) {
      packed.bias = allocate(rows * sizeof(float));
      float* at = packed.bias.as<float>();
      for (const Tensor& bias : biases) {
        bias.read(0, bias.elements(), at);
        at += bias.elements();
      }
    }
    return packed;
  }

  // Panels of gate and up alternate, so that both halves of an output meet in one block.
  Linear pack_gate_up(const Tensor& gate, const Tensor& up) override {
    const size_t features = gate.shape[0], depth = gate.shape[1];
    const size_t panels = divide_up(features, kPanelColumns);
    Linear packed = pack_rows(panels * 2 * kPanelColumns, depth, [&](size_t row, float* out) {
      const size_t panel = row / kPanelColumns;
      const size_t feature = panel / 2 * kPanelColumns + row % kPanelColumns;
      if (feature >= features) return std::fill_n(out, depth, 0.0f), void();
      (panel % 2 == 0 ? gate : up).read(feature * depth, depth, out);
    });
    packed.out_features = features;
    gate.release();
    up.release();
    return packed;
  }

  void trim() override {
    for (Buffer& scratch : attention_scratch_) scratch = {};
  }

  void begin(const Seeds& seeds, size_t vocab) override {
    input_seeds_.assign(seeds.inputs, seeds.inputs + seeds.count);
    if (!seeds.permutation) return;
    permutation_seeds_.assign(seeds.permutation, seeds.permutation + seeds.count);
    if (target_.values.size() != vocab || target_.seed != seeds.target) {
      target_ = make_target(seeds.target, vocab);
    }
  }

  void finish(const float* values, size_t stride, size_t rows, size_t width, float* out) override {
    for (size_t row = 0; row < rows; row++) {
      std::memcpy(out + row * width, values + row * stride, width * sizeof(float));
    }
  }
  void collect() override {}

  void inputs(size_t first, size_t sequences, size_t n, float* x) override {
    constexpr size_t kPairs = 4096;
    const size_t pairs = divide_up(n, 2), chunks = divide_up(pairs, kPairs);
    pool_.run(sequences * chunks, [&](size_t part, size_t) {
      const size_t sequence = part / chunks, begin = part % chunks * kPairs;
      kernels_.inputs(input_seeds_[first + sequence], n, begin, std::min(begin + kPairs, pairs),
                      bf16_, x + sequence * n);
    });
  }

  void rms_norm(const float* x, size_t rows, size_t width, const float* weight, float eps,
                Act& out) override {
    for_rows(rows, [&](size_t first, size_t count) {
      const FlushDenormals flush(bf16_);
      kernels_.rms_norm(x + first * width, width, count, width, weight, eps, storage_,
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

  // Heads are normed and turned on their way into attention.
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

  void attention(const Attention& args, Act& out) override {
    const Heads& heads = args.heads;
    const AttentionShape& shape = heads.shape;
    const float* queries = args.q.data.as<float>();
    const float* keys = args.qkv.data.as<float>() + shape.q_width();
    const float* values = keys + shape.kv_width();
    const size_t group = shape.num_heads / shape.num_kv_heads;
    const size_t bytes = attention_scratch_bytes(heads.seq_len, shape.head_dim);
    for (Buffer& scratch : attention_scratch_) {
      if (scratch.bytes < bytes) scratch = allocate(bytes);
    }
    pool_.run(args.sequences * shape.num_kv_heads, [&](size_t part, size_t worker) {
      const size_t sequence = part / shape.num_kv_heads, head = part % shape.num_kv_heads;
      const size_t q_row = sequence * args.queries, kv_row = sequence * heads.seq_len;
      const size_t column = head * group * shape.head_dim;
      const FlushDenormals flush(bf16_);
      kernels_.attention({queries + q_row * args.q.stride + column,
                          keys + kv_row * args.qkv.stride + head * shape.head_dim,
                          values + kv_row * args.qkv.stride + head * shape.head_dim, args.q.stride,
                          args.qkv.stride, heads.seq_len, args.queries, group, shape.head_dim,
                          heads.q_norm, heads.k_norm, heads.eps, heads.cos, heads.sin,
                          attention_scratch_[worker].as<float>(),
                          element(out, q_row * out.stride + column), out.stride, storage_, cut});
    });
    out.wide = storage_ != Storage::bf16;
  }

  void distances(const float* logits, size_t stride, size_t rows, size_t,
                 float* distances) override {
    pool_.run(rows, [&](size_t row, size_t worker) {
      distances[row] =
          distance(logits + row * stride, permutation_seeds_[row], target_, rankings_[worker]);
    });
  }

  std::vector<uint32_t> permutation(uint32_t seed, size_t n) override {
    return proofmill::permutation(seed, n);
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
  size_t attention_scratch_bytes(size_t seq_len, size_t head_dim) const {
    return kernels_.attention_scratch_floats(seq_len, head_dim) * sizeof(float);
  }

  // Where an element of an activation goes that is stored as matrix products read it.
  void* element(const Act& act, size_t at) const {
    return act.data.as<char>() + at * size_of(storage_);
  }

  template <class Fn>
  void for_rows(size_t rows, Fn&& fn) {
    constexpr size_t kRows = 32;
    pool_.run(divide_up(rows, kRows), [&](size_t part, size_t) {
      const size_t first = part * kRows;
      fn(first, std::min(kRows, rows - first));
    });
  }

  template <class ReadRow>
  Linear pack_rows(size_t rows, size_t depth, ReadRow&& read_row) {
    const size_t panels = divide_up(rows, kPanelColumns);
    const size_t panel_elements = panel_size(depth);
    Linear packed{rows, depth, allocate(panels * panel_elements * (bf16_ ? 2 : 4)), {}};
    // An odd depth's last pair is half empty.
    std::vector<std::vector<float>> row_of(pool_.size(), std::vector<float>(depth + 1));
    pool_.run(panels, [&](size_t panel, size_t worker) {
      std::vector<float>& row = row_of[worker];
      for (size_t column = 0; column < kPanelColumns; column++) {
        const size_t r = panel * kPanelColumns + column;
        if (r < rows) {
          read_row(r, row.data());
        } else {
          std::fill(row.begin(), row.end(), 0.0f);
        }
        const size_t base = panel * panel_elements;
        if (bf16_) {
          uint16_t* to = packed.packed.as<uint16_t>() + base + column * 2;
          for (size_t k = 0; k < depth + depth % 2; k++) {
            to[k / 2 * 2 * kPanelColumns + k % 2] = rng::to_bf16(row[k]);
          }
        } else {
          float* to = packed.packed.as<float>() + base + column;
          for (size_t k = 0; k < depth; k++) to[k * kPanelColumns] = row[k];
        }
      }
    });
    return packed;
  }

  // Elements of a packed panel.
  size_t panel_size(size_t depth) const {
    return (bf16_ ? divide_up(depth, 2) * 2 : depth) * kPanelColumns;
  }

  // Threads walk through the columns side by side, so that memory gives each weight once, and each
  // with rows of its own. A share of the rows passes by columns that stay in a cache.
  void product(const Act& a, const Linear& w, size_t rows, GemmBlock::Epilogue epilogue, void* out,
               size_t out_stride) {
    constexpr size_t kFewRows = 48;  // too few to be worth reading all weights for
    const bool swiglu = epilogue == GemmBlock::Epilogue::swiglu;
    const size_t panels = divide_up(w.out_features, kPanelColumns) * (swiglu ? 2 : 1);
    const size_t chunks = divide_up(panels, kBlockPanels);
    const size_t groups = std::clamp<size_t>(rows / kFewRows, 1, pool_.size());
    const size_t blocks = divide_up(rows, groups * kBlockRows);  // of a group
    const size_t rows_each = divide_up(rows, groups * blocks * kRowStep) * kRowStep;
    const size_t columns_each = kBlockPanels * kPanelColumns / (swiglu ? 2 : 1);
    const size_t panel_bytes = panel_size(w.in_features) * (bf16_ ? 2 : 4);
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
  const Storage storage_;                                  // of what matrix products read
  std::vector<Buffer> attention_scratch_;                  // one for each worker
  std::vector<Ranking> rankings_;                          // one for each worker
  std::vector<uint32_t> input_seeds_, permutation_seeds_;  // of the pass
  Target target_;                                          // of the last pass: a round has one
};

}  // namespace

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
  return std::make_unique<CpuBackend>(precision, threads, kernels, limits);
}

std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const std::string& isa, PassLimits limits) {
  return make_cpu_backend(precision, threads, find_kernels(isa), limits);
}

}  // namespace proofmill
