#include "device.h"

namespace proofmill::cuda {

Device open_device(int index) {
  Device device;
  device.index = index;
  device.name = "not yet open";
  cudaDeviceProp properties{};
  PROOFMILL_CUDA(device, cudaSetDevice(index));
  PROOFMILL_CUDA(device, cudaGetDeviceProperties(&properties, index));
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.shared_memory = properties.sharedMemPerBlockOptin;
  if (device.major < 8) {
    fail("GPU %d, %s, has compute capability %d.%d: 8.0 or later is needed", index,
         device.name.c_str(), device.major, device.minor);
  }
  PROOFMILL_CUDA(device, cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking));
  return device;
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
