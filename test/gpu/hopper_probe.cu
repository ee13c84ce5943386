// Hopper's matrix products alone: right on ragged shapes, the same bits at every place, and how
// fast beside cuBLASLt on the products of real models. `thin` tries products of few rows alone,
// `wide` all others but the largest.
//   nvcc -std=c++17 -O3 -gencode=arch=compute_90a,code=sm_90a -I SRC hopper_probe.cu
//   SRC/device/cuda/{hopper_gemm, elementwise,random}.cu SRC/device/cuda/{cublaslt,device,gemm}.cc
//   -o hopper_probe -ldl
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "device/cuda/gemm.h"
#include "device/cuda/hopper_gemm.h"
#include "device/cuda/kernels.h"
#include "hopper_thin_probe.cuh"
#include "probe.cuh"

using namespace proofmill;
using namespace proofmill::cuda;

namespace {

// Every epilogue on a shape, against sums in double on the CPU.
void check(size_t rows, size_t n, size_t k) {
  const size_t stride = divide_up(k, 8) * 8, d_stride = divide_up(n, 8) * 8;
  DeviceMemory<bf16> a(rows * stride), w(n * stride), d(rows * d_stride), half(rows * d_stride);
  DeviceMemory<float> f(rows * d_stride);
  random_weights<bf16>(device, 1, 0, a.count, a.at);
  random_weights<bf16>(device, 2, 0, w.count, w.at);
  const std::vector<bf16> av = a.read(), wv = w.read();
  std::vector<double> exact(rows * n);
  double square = 0;
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t l = 0; l < k; l++)
        sum += static_cast<double>(wide(av[i * stride + l])) *
               static_cast<double>(wide(wv[j * stride + l]));
      exact[i * n + j] = sum;
      square += sum * sum;
    }
  const double size = std::sqrt(square / static_cast<double>(rows * n));
  const HopperProduct p{a.at, stride, nullptr, 0, 0.0f, w.at, stride, rows, n, k};
  const auto worst = [&](auto value) {
    double most = 0;
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < n; j++) {
        const double error = std::fabs(static_cast<double>(value(i, j)) - exact[i * n + j]) / size;
        if (!(error <= most)) most = error;
      }
    return most;
  };
  hopper_product(device, p, nullptr, d.at, d_stride);
  const std::vector<bf16> rounded = d.read();
  compare("rounded", rows, n, k,
          worst([&](size_t i, size_t j) { return wide(rounded[i * d_stride + j]); }), 0.02);
  hopper_product_float(device, p, f.at, d_stride);
  const std::vector<float> floats = f.read();
  compare("float", rows, n, k, worst([&](size_t i, size_t j) { return floats[i * d_stride + j]; }),
          1e-4);
  hopper_product_add(device, p, f.at, d_stride, {});
  const std::vector<float> twice = f.read();
  compare("add", rows, n, k, worst([&](size_t i, size_t j) { return twice[i * d_stride + j] / 2; }),
          1e-4);
  if (n % 16 == 0) {
    hopper_product_swiglu(device, p, half.at, d_stride / 2);
    const std::vector<bf16> gated = half.read();
    double most = 0;
    for (size_t i = 0; i < rows; i++)
      for (size_t j = 0; j < n / 2; j++) {
        const double gate = exact[i * n + j / 8 * 16 + j % 8],
                     up = exact[i * n + j / 8 * 16 + 8 + j % 8];
        const double want = gate / (1 + std::exp(-gate)) * up;
        const double error =
            std::fabs(wide(gated[i * (d_stride / 2) + j]) - want) / (size * size + 0.1 * size);
        if (!(error <= most)) most = error;
      }
    compare("swiglu", rows, n, k, most, 0.03);
  }
}

// The same rows at other places, among other rows, and again: the same bits.
void check_places(size_t rows, size_t n, size_t k) {
  DeviceMemory<bf16> a(2 * rows * k), w(n * k), d(rows * n), e(rows * n);
  random_weights<bf16>(device, 1, 0, a.count, a.at);
  random_weights<bf16>(device, 2, 0, w.count, w.at);
  hopper_product(device, {a.at, k, nullptr, 0, 0.0f, w.at, k, rows, n, k}, nullptr, d.at, n);
  const std::vector<bf16> all = d.read();
  size_t differ = 0;
  for (const size_t from : {size_t{0}, size_t{1}, size_t{63}, size_t{129}, rows / 2}) {
    const size_t left = rows - from;
    hopper_product(device, {a.at + from * k, k, nullptr, 0, 0.0f, w.at, k, left, n, k}, nullptr,
                   e.at, n);
    const std::vector<bf16> part = e.read();
    for (size_t i = 0; i < left * n; i++) differ += part[i] != all[from * n + i];
  }
  compare("places", rows, n, k, static_cast<double>(differ), 0);
}

enum class Kind { rounded, swiglu, add, next, logits };

void time(Gemm<bf16>& gemm, const char* name, Kind kind, size_t rows, size_t n, size_t k) {
  const size_t copies =
      std::max<size_t>(1, std::min<size_t>(12, (size_t{200} << 20) / (n * k * 2)));
  DeviceMemory<bf16> a(rows * k), w(copies * n * k), d(rows * n), gated(rows * n / 2 + 8);
  const bool is_float = kind == Kind::add || kind == Kind::next || kind == Kind::logits;
  DeviceMemory<float> f(is_float ? rows * n : 1), weight(n), squares(rows * hopper_parts(n));
  cudaMemsetAsync(weight.at, 0, n * sizeof(float), device.stream);
  random_weights<bf16>(device, 1, 0, a.count, a.at);
  for (size_t i = 0; i < copies; i++)
    random_weights<bf16>(device, 2 + i, 0, n * k, w.at + i * n * k);
  cudaMemsetAsync(f.at, 0, f.count * 4, device.stream);
  const auto own = [&](int i) {
    const HopperProduct p{a.at, k, nullptr, 0, 0.0f, w.at + i % copies * n * k, k, rows, n, k};
    if (kind == Kind::rounded) hopper_product(device, p, nullptr, d.at, n);
    if (kind == Kind::swiglu) hopper_product_swiglu(device, p, gated.at, n / 2);
    if (kind == Kind::add) hopper_product_add(device, p, f.at, n, {});
    if (kind == Kind::next)
      hopper_product_add(device, p, f.at, n, {weight.at, d.at, n, squares.at});
    if (kind == Kind::logits) hopper_product_float(device, p, f.at, n);
  };
  const auto theirs = [&](int i) {
    gemm.run({a.at, k, w.at + i % copies * n * k, k, nullptr,
              is_float ? static_cast<void*>(f.at) : d.at, n, rows, n, k, is_float,
              kind == Kind::add || kind == Kind::next});
    if (kind == Kind::swiglu) swiglu<bf16>(device, d.at, n, rows, n / 2, gated.at, n / 2);
  };
  const double flops =
      2.0 * static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(k);
  const int runs = static_cast<int>(std::clamp(2e-3 / (flops / 600e12), 3.0, 40.0));
  microseconds(2, own);
  microseconds(2, theirs);
  std::vector<double> ours, cublas;
  for (int i = 0; i < 5; i++) {
    ours.push_back(microseconds(runs, own));
    cublas.push_back(microseconds(runs, theirs));
  }
  std::sort(ours.begin(), ours.end());
  std::sort(cublas.begin(), cublas.end());
  std::printf(
      "## %-8s %5zu x %6zu x %5zu: ours %7.1f us %6.1f TFLOP/s, cuBLASLt%s %7.1f us %6.1f, ratio "
      "%.3f\n",
      name, rows, n, k, ours[2], flops / ours[2] * 1e-6, kind == Kind::swiglu ? " + swiglu" : "",
      cublas[2], flops / cublas[2] * 1e-6, cublas[2] / ours[2]);
  std::fflush(stdout);
}

// For a profiler: nothing but two products.
void time_peak() {
  Gemm<bf16> gemm(device, allocate);
  time(gemm, "peak", Kind::rounded, 8192, 8192, 8192);
  time(gemm, "qkv", Kind::rounded, 8448, 4096, 1024);
}

int end() {
  if (wrong > 0) std::printf("hopper_probe: %d WRONG\n", wrong);
  if (wrong == 0) std::printf("hopper_probe: all right\n");
  return wrong > 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "all";
  opened = std::make_unique<Device>(0);
  if (mode == "peak") return time_peak(), 0;
  if (mode != "wide") {
    check_thin();
    if (wrong == 0) time_thin();
    if (wrong > 0 || mode == "thin") return end();
  }
  for (const size_t rows : {1, 70, 128, 300}) check(rows, 520, 200);
  check(257, 256, 64);
  check(128, 48, 8);
  check(33, 1040, 1024);
  check_places(700, 512, 1024);
  if (wrong > 0) return end();
  Gemm<bf16> gemm(device, allocate);
  time(gemm, "peak", Kind::rounded, 8192, 8192, 8192);
  for (const size_t rows : {8448, 4224}) {
    time(gemm, "qkv", Kind::rounded, rows, 4096, 1024);
    time(gemm, "o", Kind::add, rows, 1024, 2048);
    time(gemm, "gate_up", Kind::swiglu, rows, 6144, 1024);
    time(gemm, "down", Kind::add, rows, 1024, 3072);
    time(gemm, "o next", Kind::next, rows, 1024, 2048);
    time(gemm, "dn next", Kind::next, rows, 1024, 3072);
  }
  time(gemm, "lm_head", Kind::logits, 33, 151936, 1024);
  time(gemm, "lm_head", Kind::logits, 132, 151936, 1024);
  if (mode == "all") {
    time(gemm, "8b qkv", Kind::rounded, 8448, 6144, 4096);
    time(gemm, "8b o", Kind::next, 8448, 4096, 4096);
    time(gemm, "8b gu", Kind::swiglu, 8448, 24576, 4096);
    time(gemm, "8b down", Kind::next, 8448, 4096, 12288);
  }
  return end();
}
