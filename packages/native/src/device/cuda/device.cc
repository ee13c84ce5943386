#include "device.h"

namespace proofmill::cuda {

namespace {

constexpr int kLeastMajor = 8;  // of compute capability

[[noreturn]] void fail_too_old(int index, const cudaDeviceProp& gpu) {
  fail("GPU %d, %s, has compute capability %d.%d: %d.0 or later is needed", index, gpu.name,
       gpu.major, gpu.minor, kLeastMajor);
}

}  // namespace

Device::Device(int index_) : index(index_) {
  cudaDeviceProp properties{};
  PROOFMILL_CUDA(*this, cudaSetDevice(index));
  PROOFMILL_CUDA(*this, cudaGetDeviceProperties(&properties, index));
  name = properties.name;
  major = properties.major;
  minor = properties.minor;
  multiprocessors = properties.multiProcessorCount;
  shared_memory = properties.sharedMemPerBlockOptin;
  if (major < kLeastMajor) fail_too_old(index, properties);
  PROOFMILL_CUDA(*this, cudaDriverGetVersion(&driver));
  PROOFMILL_CUDA(*this, cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
}

Device::~Device() {
  cudaSetDevice(index);
  if (stream) cudaStreamDestroy(stream);
}

std::string slug(const std::string& name) {
  const std::string vendor = "NVIDIA ";
  std::string out;
  for (const char c : name.rfind(vendor, 0) == 0 ? name.substr(vendor.size()) : name) {
    const bool kept = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    out += !kept ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

int count_devices() {
  int count = 0, driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) {
    fail("libcuda.so.1, which comes with NVIDIA's driver, is not found");
  }
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice) return 0;
  if (error == cudaErrorInsufficientDriver) {
    fail("the NVIDIA driver is too old: it knows CUDA %d.%d, and this build needs %s",
         driver / 1000, driver % 1000 / 10,
         CUDART_VERSION >= 13000 ? "13.0, driver 580 or later" : "12.0, driver 525 or later");
  }
  if (error != cudaSuccess) {
    fail("the NVIDIA driver cannot be used: %s", cudaGetErrorString(error));
  }
  cudaDeviceProp gpu{};
  for (int i = count - 1; i >= 0; i--) {
    if (cudaGetDeviceProperties(&gpu, i) != cudaSuccess || gpu.major >= kLeastMajor) return count;
  }
  if (count > 0) fail_too_old(0, gpu);
  return count;
}

}  // namespace proofmill::cuda
