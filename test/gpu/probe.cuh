// What programs that try out kernels alone have in common: the device, its memory, numbers of it.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "device/cuda/device.h"

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
    PROOFMILL_CUDA(device, cudaMalloc(&at, n * sizeof(T)));
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
    finish();
    PROOFMILL_CUDA(device,
                   cudaMemcpy(values.data(), at, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }
};

inline float wide(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
