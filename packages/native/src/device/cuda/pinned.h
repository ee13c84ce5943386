// What host and device share: pinned memory, which copies need so that the host does not wait for
// them, and events to wait for.
#pragma once

#include "device.h"

namespace proofmill::cuda {

// Memory of the host that the device reads and writes.
struct Pinned {
  void* memory = nullptr;
  size_t bytes = 0;

  Pinned() = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { cudaFreeHost(memory); }
  // At least so many bytes; no copy may be under way. Where it has to grow, its values are lost.
  void reserve(const Device& device, size_t wanted) {
    if (wanted <= bytes) return;
    cudaFreeHost(memory);
    memory = nullptr;
    bytes = 0;
    PROOFMILL_CUDA(device, cudaMallocHost(&memory, wanted));
    bytes = wanted;
  }
  template <class N>
  N* as() const {
    return static_cast<N*>(memory);
  }
};

struct Event {
  cudaEvent_t event = nullptr;
  Event(const Device& device, unsigned flags) {
    PROOFMILL_CUDA(device, cudaEventCreateWithFlags(&event, flags));
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event); }
};

}  // namespace proofmill::cuda
