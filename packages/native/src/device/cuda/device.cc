#include "device.h"

namespace proofmill::cuda {

Device::Device(int index_) : index(index_) {
  cudaDeviceProp properties{};
  PROOFMILL_CUDA(*this, cudaSetDevice(index));
  PROOFMILL_CUDA(*this, cudaGetDeviceProperties(&properties, index));
  name = properties.name;
  major = properties.major;
  minor = properties.minor;
  multiprocessors = properties.multiProcessorCount;
  shared_memory = properties.sharedMemPerBlockOptin;
  if (major < 8) {
    fail("GPU %d, %s, has compute capability %d.%d: 8.0 or later is needed", index, name.c_str(),
         major, minor);
  }
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
    fail("there is no NVIDIA driver (libcuda.so.1 is not found)");
  }
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice) return 0;
  if (error != cudaSuccess) {
    fail("the NVIDIA driver cannot be used: %s", cudaGetErrorString(error));
  }
  return count;
}

}  // namespace proofmill::cuda
