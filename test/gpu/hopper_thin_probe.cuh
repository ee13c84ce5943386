// Products of few rows: right beside sums in double, the same bits as the kernel for many rows
// gives, and how fast beside that one and cuBLASLt.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "device/cuda/gemm.h"
#include "device/cuda/hopper_thin.cuh"
#include "device/cuda/kernels.h"
#include "probe.cuh"

// A product of random numbers, and all that its epilogues read and write.
struct ThinCase {
  size_t rows, n, k, stride = divide_up(k, 8) * 8, d_stride = divide_up(n, 16) * 16;
  size_t parts = 3;
  DeviceMemory<bf16> a{rows * stride}, w{n * stride}, bias{d_stride}, d{rows * d_stride};
  DeviceMemory<float> x{rows * d_stride}, room{rows * hopper_sums_stride(n)};
  DeviceMemory<float> squares{rows * parts}, next_squares{rows * hopper_parts(n)};
  DeviceMemory<float> weight{d_stride}, cosines{rows * 64}, sines{rows * 64};

  ThinCase(size_t rows_, size_t n_, size_t k_) : rows(rows_), n(n_), k(k_) {
    random_weights<bf16>(device, 1, 0, a.count, a.at);
    random_weights<bf16>(device, 2, 0, w.count, w.at);
    random_weights<bf16>(device, 3, 0, bias.count, bias.at);
    random_weights<float>(device, 4, 0, weight.count, weight.at);
    random_weights<float>(device, 5, 0, cosines.count, cosines.at);
    random_weights<float>(device, 6, 0, sines.count, sines.at);
    std::vector<float> sums(squares.count);
    for (size_t i = 0; i < sums.size(); i++) sums[i] = static_cast<float>(k * (1 + i % 7)) * 0.1f;
    cudaMemcpy(squares.at, sums.data(), sums.size() * 4, cudaMemcpyHostToDevice);
  }
  HopperProduct product(bool thin, bool normed) {
    return {
        a.at, stride, normed ? squares.at : nullptr, normed ? parts : 0, 1e-6f, w.at, stride, rows,
        n,    k,      thin ? room.at : nullptr};
  }
  void reset() {
    cudaMemsetAsync(d.at, 0xff, d.count * sizeof(bf16), device.stream);
    cudaMemsetAsync(room.at, 0xff, room.count * sizeof(float), device.stream);
    cudaMemsetAsync(next_squares.at, 0xff, next_squares.count * sizeof(float), device.stream);
    random_weights<float>(device, 7, 0, x.count, x.at);
  }
};

// What a run leaves: d, x and the squares, bit by bit.
struct ThinResult {
  std::vector<bf16> d;
  std::vector<float> x, squares;
  bool operator==(const ThinResult& other) const {
    const auto same = [](const auto& one, const auto& two) {
      return std::memcmp(one.data(), two.data(), one.size() * sizeof(one[0])) == 0;
    };
    return same(d, other.d) && same(x, other.x) && same(squares, other.squares);
  }
};

// Each epilogue by both kernels: the same bits, and right within rounding.
inline void check_thin(size_t rows, size_t n, size_t k) {
  ThinCase c(rows, n, k);
  const std::vector<bf16> av = c.a.read(), wv = c.w.read(), bias = c.bias.read();
  const std::vector<float> weight = c.weight.read(), norms = c.squares.read();
  c.reset();
  const std::vector<float> residual = c.x.read();
  std::vector<double> sums(rows * n), factors(rows);
  double square = 0;
  for (size_t i = 0; i < rows; i++) {
    double parts = 0;
    for (size_t part = 0; part < c.parts; part++)
      parts += static_cast<double>(norms[i * c.parts + part]);
    factors[i] = 1 / std::sqrt(parts / static_cast<double>(k) + 1e-6);
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t l = 0; l < k; l++)
        sum += static_cast<double>(wide(av[i * c.stride + l])) *
               static_cast<double>(wide(wv[j * c.stride + l]));
      sums[i * n + j] = sum;
      square += sum * sum;
    }
  }
  const double size = std::sqrt(square / static_cast<double>(rows * n));

  using Run = std::function<void(const HopperProduct&)>;
  using Value = std::function<double(const ThinResult&, size_t, size_t)>;
  const auto check = [&](const char* what, bool normed, const Run& run, size_t columns,
                         const Value& error, double allowed) {
    const auto result = [&](bool thin) {
      c.reset();
      run(c.product(thin, normed));
      return ThinResult{c.d.read(), c.x.read(), c.next_squares.read()};
    };
    const ThinResult thin = result(true), many = result(false);
    double worst = 0;
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < columns; j++) {
        const double off = std::fabs(error(thin, i, j)) / size;
        if (!(off <= worst)) worst = off;
      }
    compare((std::string("thin ") + what).c_str(), rows, n, k, worst, allowed);
    if (!(thin == many)) {
      wrong++;
      std::printf("BAD  thin %s [%zu, %zu] k %zu: not the bits of the wide kernel\n", what, rows, n,
                  k);
    }
  };
  const auto sum = [&](size_t i, size_t j) { return sums[i * n + j]; };
  const auto d_at = [&](const ThinResult& of, size_t i, size_t j) {
    return static_cast<double>(wide(of.d[i * c.d_stride + j]));
  };

  check(
      "rounded", false,
      [&](const HopperProduct& p) { hopper_product(device, p, nullptr, c.d.at, c.d_stride); }, n,
      [&](const ThinResult& of, size_t i, size_t j) { return d_at(of, i, j) - sum(i, j); }, 0.02);
  check(
      "normed + bias", true,
      [&](const HopperProduct& p) { hopper_product(device, p, c.bias.at, c.d.at, c.d_stride); }, n,
      [&](const ThinResult& of, size_t i, size_t j) {
        return d_at(of, i, j) - (sum(i, j) * factors[i] + static_cast<double>(wide(bias[j])));
      },
      0.05);
  for (const bool normed : {false, true}) {
    check(
        normed ? "float, normed" : "float", normed,
        [&](const HopperProduct& p) { hopper_product_float(device, p, c.x.at, c.d_stride); }, n,
        [&](const ThinResult& of, size_t i, size_t j) {
          return static_cast<double>(of.x[i * c.d_stride + j]) -
                 sum(i, j) * (normed ? factors[i] : 1);
        },
        2e-4);
  }
  for (const bool next : {false, true}) {
    check(
        next ? "add, next" : "add", false,
        [&](const HopperProduct& p) {
          HopperNext of{};
          if (next) of = {c.weight.at, c.d.at, c.d_stride, c.next_squares.at};
          // Rows of x that lie n apart are not aligned for every n: then it is added plainly.
          hopper_product_add(device, p, c.x.at, n % 4 == 0 ? c.d_stride : n, of);
        },
        n,
        [&](const ThinResult& of, size_t i, size_t j) {
          const size_t at = i * (n % 4 == 0 ? c.d_stride : n) + j;
          const double now = static_cast<double>(of.x[at]);
          const double off = now - (sum(i, j) + static_cast<double>(residual[at]));
          if (!next) return off;
          const double want = now * static_cast<double>(weight[j]);
          const double rounding = std::fabs(d_at(of, i, j) - want) / (std::fabs(want) + 1e-20);
          return std::fabs(off) + 0.05 * size * rounding;
        },
        1e-3);
  }
  if (n % 16 == 0) {
    check(
        "swiglu", true,
        [&](const HopperProduct& p) { hopper_product_swiglu(device, p, c.d.at, c.d_stride); },
        n / 2,
        [&](const ThinResult& of, size_t i, size_t j) {
          const double gate = sum(i, j / 8 * 16 + j % 8) * factors[i];
          const double up = sum(i, j / 8 * 16 + 8 + j % 8) * factors[i];
          const double want = gate / (1 + std::exp(-gate)) * up;
          return (d_at(of, i, j) - want) * size / (std::fabs(want) + 0.05 * size * size);
        },
        0.05);
  }
  for (const size_t head_dim : {64, 128}) {
    if (n % head_dim != 0 || n < 3 * head_dim) continue;
    const HeadRope rope{c.weight.at, c.cosines.at, c.sines.at, 1e-6f, static_cast<int>(head_dim)};
    const size_t kv = head_dim;
    check(
        "heads", true,
        [&](const HopperProduct& p) {
          hopper_product_heads(device, p, nullptr, {rope, rope, 0, n - 2 * kv, kv, rows, rows},
                               c.d.at, c.d_stride);
        },
        n,
        [&](const ThinResult& of, size_t i, size_t j) {  // values are as they were
          return j < n - kv ? 0 : d_at(of, i, j) - sum(i, j) * factors[i];
        },
        0.05);
  }
}

// Sums alone, with every plan: the bits of the wide kernel.
inline void check_plans(size_t rows, size_t n, size_t k) {
  ThinCase c(rows, n, k);
  c.reset();
  hopper_product_float(device, c.product(false, false), c.x.at, c.d_stride);
  const std::vector<float> many = c.x.read();
  size_t differ = 0;
  for (const int columns : {16, 32, 48, 64}) {
    for (const int stages : {2, 3}) {
      hopper::ThinPlan plan = hopper::thin_plan(device, c.product(true, false));
      plan.columns = columns;
      plan.stages = stages;
      c.reset();
      hopper::multiply_thin(device, c.product(true, false), plan, c.x.at, c.d_stride);
      const std::vector<float> few = c.x.read();
      size_t own = 0;
      for (size_t i = 0; i < rows; i++)
        own += std::memcmp(&few[i * c.d_stride], &many[i * c.d_stride], n * sizeof(float)) != 0;
      if (own > 0)
        std::printf("     %d columns, %d stages: %zu rows differ\n", columns, stages, own);
      differ += own;
    }
  }
  compare("thin, every plan: rows that differ", rows, n, k, static_cast<double>(differ), 0);
}

inline void check_thin() {
  for (const size_t rows : {1, 3, 16, 33, 64}) {
    check_thin(rows, 520, 192);
    check_thin(rows, 522, 64);
    check_thin(rows, 301, 320);
  }
  check_thin(8, 1024, 1024);
  check_thin(64, 384, 448);
  check_thin(100, 520, 192);  // two blocks of rows
  for (const size_t rows : {1, 8, 33, 64, 200}) check_plans(rows, 1024, 3072);
  check_plans(64, 4096, 12288);
  check_plans(5, 24576, 4096);
  check_plans(2, 151936, 1024);
}

enum class ThinKind { rounded, swiglu, next, logits };

// One product with weights that are not in the L2: each run reads another copy.
struct ThinTiming {
  const char* name;
  ThinKind kind;
  size_t n, k;
};

struct ThinBench {
  ThinTiming of;
  size_t rows, n = of.n, k = of.k;
  size_t copies = std::max<size_t>(2, (size_t{160} << 20) / (n * k * 2));
  DeviceMemory<bf16> a{rows * k}, w{copies * n * k}, d{rows * n};
  DeviceMemory<float> x{rows * n}, room{rows * n}, weight{n}, squares{rows * hopper_parts(n)};

  ThinBench(const ThinTiming& timing, size_t rows_) : of(timing), rows(rows_) {
    random_weights<bf16>(device, 1, 0, a.count, a.at);
    for (size_t i = 0; i < copies; i++)
      random_weights<bf16>(device, static_cast<uint32_t>(2 + i), 0, n * k, w.at + i * n * k);
    cudaMemsetAsync(x.at, 0, x.count * 4, device.stream);
    cudaMemsetAsync(weight.at, 0, weight.count * 4, device.stream);
    finish();
  }
  HopperProduct product(size_t copy, bool thin) const {
    const size_t at = copy % copies * n * k;
    float* sums = of.kind == ThinKind::logits ? x.at : room.at;
    return {a.at, k, nullptr, 0, 0.0f, w.at + at, k, rows, n, k, thin ? sums : nullptr};
  }
  void run(size_t copy, bool thin) const {
    const HopperProduct p = product(copy, thin);
    if (of.kind == ThinKind::rounded) hopper_product(device, p, nullptr, d.at, n);
    if (of.kind == ThinKind::swiglu) hopper_product_swiglu(device, p, d.at, n / 2);
    if (of.kind == ThinKind::next)
      hopper_product_add(device, p, x.at, n, {weight.at, d.at, n, squares.at});
    if (of.kind == ThinKind::logits) hopper_product_float(device, p, x.at, n);
  }
};

inline void time_thin(Gemm<bf16>& gemm, const ThinTiming& timing, size_t rows) {
  const ThinBench b(timing, rows);
  const size_t n = b.n, k = b.k;
  const int runs = static_cast<int>(std::clamp<size_t>(b.copies, 6, 60));
  const double thin = recorded(runs, [&](int i) { b.run(static_cast<size_t>(i), true); });
  const double many = recorded(runs, [&](int i) { b.run(static_cast<size_t>(i), false); });
  const bool is_float = timing.kind == ThinKind::next || timing.kind == ThinKind::logits;
  const double theirs = recorded(runs, [&](int i) {
    const bf16* w = b.product(static_cast<size_t>(i), false).w;
    gemm.run({b.a.at, k, w, k, nullptr, is_float ? static_cast<void*>(b.x.at) : b.d.at, n, rows, n,
              k, is_float, timing.kind == ThinKind::next});
    if (timing.kind == ThinKind::swiglu)
      swiglu<bf16>(device, b.d.at, n, rows, n / 2, b.d.at, n / 2);
  });
  const hopper::ThinPlan plan = hopper::thin_plan(device, b.product(0, true));
  const double gigabytes = static_cast<double>(n * k * 2) * 1e-3;  // a second, by microseconds
  std::printf(
      "## thin %-8s %3zu x %6zu x %5zu: %7.2f us %6.0f GB/s (%d columns, %d stages), wide %7.2f "
      "us, "
      "ratio %.2f, cuBLASLt %7.2f us, ratio %.2f\n",
      timing.name, rows, n, k, thin, gigabytes / thin, plan.columns, plan.stages, many, many / thin,
      theirs, theirs / thin);
  // Other plans: the sums alone, without what follows.
  std::printf("   sums alone");
  for (const int columns : {16, 32, 48, 64}) {
    if (divide_up(n, static_cast<size_t>(columns)) > 5 * 132 && columns < 32) continue;
    for (const size_t room : {size_t{112} << 10, size_t{224} << 10}) {
      hopper::ThinPlan other = plan;
      other.columns = columns;
      other.stages = 0;
      other.stages = static_cast<int>(
          std::min<size_t>((room - other.shared_bytes()) / other.stage_bytes(), 16));
      if (other.stages < 2) continue;
      const double us = recorded(runs, [&](int i) {
        hopper::multiply_thin(device, b.product(static_cast<size_t>(i), true), other,
                              timing.kind == ThinKind::logits ? b.x.at : b.room.at, n);
      });
      std::printf(", %dx%d %.2f", columns, other.stages, us);
    }
  }
  std::printf("\n");
  std::fflush(stdout);
}

// The products of a token's layers one after another, weights that are not in the L2.
inline void time_layers(const char* name, size_t rows, size_t hidden, size_t q, size_t kv,
                        size_t features) {
  const size_t layers = std::max<size_t>(2, (size_t{600} << 20) / (hidden * features * 6));
  const ThinTiming of[4] = {{"qkv", ThinKind::rounded, q + 2 * kv, hidden},
                            {"o", ThinKind::next, hidden, q},
                            {"gate_up", ThinKind::swiglu, 2 * features, hidden},
                            {"down", ThinKind::next, hidden, features}};
  size_t bytes = 0;
  std::vector<std::unique_ptr<ThinBench>> benches;
  for (const ThinTiming& timing : of) {
    benches.push_back(std::make_unique<ThinBench>(timing, rows));
    bytes += timing.n * timing.k * 2;
  }
  double us[2];
  for (const bool thin : {true, false}) {
    us[thin] = recorded(static_cast<int>(layers), [&](int i) {
      for (const auto& bench : benches) bench->run(static_cast<size_t>(i), thin);
    });
  }
  std::printf("## layer %s, %zu rows: products %.2f us thin, %.0f GB/s; %.2f us wide\n", name, rows,
              us[1], static_cast<double>(bytes) * 1e-3 / us[1], us[0]);
}

inline void time_thin() {
  Gemm<bf16> gemm(device, allocate);
  const ThinTiming all[] = {
      {"qkv", ThinKind::rounded, 4096, 1024},      {"o", ThinKind::next, 1024, 2048},
      {"gate_up", ThinKind::swiglu, 6144, 1024},   {"down", ThinKind::next, 1024, 3072},
      {"lm_head", ThinKind::logits, 151936, 1024}, {"8b qkv", ThinKind::rounded, 6144, 4096},
      {"8b o", ThinKind::next, 4096, 4096},        {"8b gu", ThinKind::swiglu, 24576, 4096},
      {"8b down", ThinKind::next, 4096, 12288}};
  for (const ThinTiming& timing : all)
    for (const size_t rows : {1, 8, 64}) time_thin(gemm, timing, rows);
  for (const size_t rows : {1, 8, 32, 64, 128, 256}) {
    time_layers("0.6b", rows, 1024, 2048, 1024, 3072);
    time_layers("8b", rows, 4096, 4096, 1024, 12288);
  }
}
