#include "library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "device/error.h"

namespace proofmill {

namespace {

// It stays open: code of objects that it made runs until the process ends.
void* open_library(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) fail("the CUDA library cannot be opened: %s", dlerror());
  const auto interface =
      reinterpret_cast<CudaInterface*>(dlsym(library, "proofmill_cuda_interface"));
  if (!interface || std::strcmp(interface(), PROOFMILL_CUDA_INTERFACE) != 0) {
    fail("%s is of another build than the addon: build both again", path.c_str());
  }
  return library;
}

template <class Function>
Function* find(void* library, const char* name) {
  const auto function = reinterpret_cast<Function*>(dlsym(library, name));
  if (!function) fail("the CUDA library lacks %s", name);
  return function;
}

}  // namespace

int cuda_device_count(const std::string& path) {
  char text[512] = "";
  const int count =
      find<CudaDeviceCount>(open_library(path), "proofmill_cuda_device_count")(text, sizeof text);
  if (count < 0) fail("%s", text);
  if (count > 0) return count;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (!visible) fail("the NVIDIA driver finds no GPU; nvidia-smi says what it finds");
  fail(
      "CUDA_VISIBLE_DEVICES is \"%s\", which names no GPU that is there: unset it, or name some of "
      "nvidia-smi -L",
      visible);
}

std::unique_ptr<Backend> make_cuda_backend(const std::string& path, const CudaOptions& options) {
  const int count = cuda_device_count(path);
  if (options.device < 0 || options.device >= count) {
    fail("cuda:%d is not there: GPUs are numbered 0 to %d", options.device, count - 1);
  }
  const auto make = find<MakeCudaBackend>(open_library(path), "proofmill_cuda_backend");
  return std::unique_ptr<Backend>(make(&options));
}

}  // namespace proofmill
