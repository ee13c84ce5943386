// What a model is loaded with, a device opened with, and a job asks for, from JavaScript's objects.
#pragma once

#include <memory>
#include <string>

#include "arguments.h"
#include "engine/prefill_queue.h"

namespace proofmill {

// Where a model runs. What the other kind of device needs is not looked at.
struct DeviceOptions {
  Precision precision = Precision::float32;
  size_t threads = 1;        // CPU
  std::string isa;           // CPU; empty: the best
  PassLimits limits;         // CPU
  std::string cuda_library;  // empty: CPU
  int cuda_device = 0;
  double gpu_memory_utilization = 0;
  int32_t* progress = nullptr;  // where a part that was done is shown, as Cut does it; may be null

  std::unique_ptr<Backend> open() const;
};

struct LoadOptions {
  Config config;
  ModelNeeds needs;
  TensorMap tensors;
  DeviceOptions device;
  Napi::Reference<Napi::Int32Array> progress;  // keeps what device.progress points to
};

// Each throws an Error that names the field that is wrong.
LoadOptions read_options(const Napi::Object& js);
DeviceOptions read_device(const Napi::Object& js);
Job read_job(const Napi::Object& js);

}  // namespace proofmill
