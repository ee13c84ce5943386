// The border between the addon and libproofmill_cuda.so, which the addon opens at run time so that
// it works without a GPU, a driver or the library. Both are made by one build, by one compiler:
// objects and exceptions cross.
#pragma once

#include <memory>
#include <string>

#include "device/backend.h"

namespace proofmill {

struct CudaOptions {
  Precision precision;
  int device;                     // as CUDA numbers them
  double gpu_memory_utilization;  // the share of the GPU's memory that may be in use, (0, 1]
};

// What the library exports.
extern "C" {
// PROOFMILL_CUDA_INTERFACE of its build.
using CudaInterface = const char*();
// How many GPUs there are; negative where the driver cannot be used, with the reason in `text`.
using CudaDeviceCount = int(char* text, size_t bytes);
// Throws.
using MakeCudaBackend = Backend*(const CudaOptions*);
}

// Opens the library at this path. Throws, in one line, where it, the driver or a GPU is missing.
int cuda_device_count(const std::string& library);
std::unique_ptr<Backend> make_cuda_backend(const std::string& library, const CudaOptions& options);

}  // namespace proofmill
