// One GPU and its stream, and how its calls are checked.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "device/error.h"

namespace proofmill::cuda {

// Storage of a bfloat16.
using bf16 = uint16_t;

struct Device {
  // Makes the stream. Throws where its compute capability is below 8.0.
  explicit Device(int index);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  int index;
  std::string name = "not yet open";
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t shared_memory = 0;  // bytes that a block may ask for
  int driver = 0;            // the CUDA version that the driver knows, e.g. 13000
  cudaStream_t stream = nullptr;
};

// Throws DeviceLost where a call of CUDA has failed, with what it did wrong and where; but Error
// where memory could not be had, since the GPU goes on working then.
inline void check(cudaError_t error, const Device& device, const char* call, const char* file,
                  int line) {
  if (error == cudaSuccess) return;
  const char* slash = std::strrchr(file, '/');
  char text[1024];
  std::snprintf(text, sizeof text, "%s: %s (%s) at %s:%d on GPU %d, %s", call,
                cudaGetErrorString(error), cudaGetErrorName(error), slash ? slash + 1 : file, line,
                device.index, device.name.c_str());
  if (error != cudaErrorMemoryAllocation) throw DeviceLost(text);
  cudaGetLastError();  // clears it: this has reported it
  throw Error(text);
}

// The newest compute capability that is compiled for; for later ones the driver compiles.
constexpr int kNewestChip = 90;

// All that there are. Throws where there is no driver, or one that cannot be used, or where not one
// of them can.
int count_devices();

#define PROOFMILL_CUDA(device, call) \
  ::proofmill::cuda::check((call), (device), #call, __FILE__, __LINE__)

constexpr size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

// A device's name as tags have it: of "NVIDIA H100 80GB HBM3" h100_80gb_hbm3.
std::string slug(const std::string& name);

}  // namespace proofmill::cuda
