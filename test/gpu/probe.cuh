// What programs that try out kernels alone have in common: the device, its memory, numbers of it.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "device/cuda/device.h"
#include "device/cuda/memory.h"

using namespace proofmill;
using namespace proofmill::cuda;

inline std::unique_ptr<Device> opened;
#define device (*opened)
inline int wrong = 0;  // checks that did not hold

// Ends the program where the device does not end.
inline void finish() {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (;;) {
    const cudaError_t state = cudaStreamQuery(device.stream);
    if (state == cudaSuccess) return;
    if (state != cudaErrorNotReady) PROOFMILL_CUDA(device, state);
    if (std::chrono::steady_clock::now() > until) {
      std::printf("BAD  the kernel hangs\n");
      std::fflush(stdout);
      _exit(2);
    }
  }
}

// Device memory that begins as NaNs.
template <class T>
struct DeviceMemory {
  T* at = nullptr;
  size_t count;
  explicit DeviceMemory(size_t n) : count(n) {
    void* memory = nullptr;
    PROOFMILL_CUDA(device, cudaMalloc(&memory, n * sizeof(T)));
    at = static_cast<T*>(memory);
    PROOFMILL_CUDA(device, cudaMemsetAsync(at, 0xff, n * sizeof(T), device.stream));
  }
  explicit DeviceMemory(const std::vector<T>& values) : DeviceMemory(values.size()) {
    PROOFMILL_CUDA(device, cudaMemcpyAsync(at, values.data(), count * sizeof(T),
                                           cudaMemcpyHostToDevice, device.stream));
    finish();
  }
  ~DeviceMemory() { cudaFree(at); }
  DeviceMemory(const DeviceMemory&) = delete;
  std::vector<T> read() const {
    std::vector<T> values(count);
    PROOFMILL_CUDA(device, cudaMemcpyAsync(values.data(), at, count * sizeof(T),
                                           cudaMemcpyDeviceToHost, device.stream));
    finish();
    return values;
  }
};

inline void compare(const char* what, size_t rows, size_t n, size_t k, double worst,
                    double allowed) {
  const bool right = worst <= allowed;  // no for NaN
  wrong += !right;
  std::printf("%s %s [%zu, %zu] k %zu: %.2e of %.2e\n", right ? "ok  " : "BAD ", what, rows, n, k,
              worst, allowed);
}

template <class Run>
double microseconds(int runs, const Run& run) {
  cudaEvent_t from, to;
  cudaEventCreateWithFlags(&from, 0);
  cudaEventCreateWithFlags(&to, 0);
  cudaEventRecord(from, device.stream);
  for (int i = 0; i < runs; i++) run(i);
  cudaEventRecord(to, device.stream);
  finish();
  float ms = 0;
  cudaEventElapsedTime(&ms, from, to);
  cudaEventDestroy(from);
  cudaEventDestroy(to);
  return 1e3 * static_cast<double>(ms) / runs;
}

// Microseconds of each of `runs` runs that are recorded as one graph, so that the host is no part.
template <class Run>
double recorded(int runs, const Run& run) {
  run(0);  // chooses an algorithm, where there is one to choose
  finish();
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  PROOFMILL_CUDA(device, cudaStreamBeginCapture(device.stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < runs; i++) run(i);
  PROOFMILL_CUDA(device, cudaStreamEndCapture(device.stream, &graph));
  PROOFMILL_CUDA(device, cudaGraphInstantiate(&exec, graph, 0));
  const auto launch = [&](int) { PROOFMILL_CUDA(device, cudaGraphLaunch(exec, device.stream)); };
  microseconds(1, launch);
  std::vector<double> times;
  for (int i = 0; i < 5; i++) times.push_back(microseconds(1, launch) / runs);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  std::sort(times.begin(), times.end());
  return times[2];
}

inline Buffer allocate(size_t bytes) {
  void* memory = nullptr;
  PROOFMILL_CUDA(device, cudaMalloc(&memory, bytes));
  return Buffer{{memory, [](void* old) { cudaFree(old); }}, bytes};
}

inline float wide(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
