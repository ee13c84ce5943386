// Reading memory as fast as it can be read, which is all that this measures.
#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr unsigned kReadThreads = 256, kBlocksEach = 8;  // all threads that a multiprocessor holds
constexpr unsigned kAhead = 4;

__device__ __forceinline__ uint32_t folded(const uint4& x) { return x.x ^ x.y ^ x.z ^ x.w; }

__global__ void read_kernel(const uint4* memory, size_t count, uint32_t* sums) {
  const size_t thread = static_cast<size_t>(blockIdx.x) * kReadThreads + threadIdx.x;
  const size_t threads = static_cast<size_t>(gridDim.x) * kReadThreads;
  uint32_t sum = 0;
  size_t i = thread;
  // Several are asked for before the first has come.
  for (; i + (kAhead - 1) * threads < count; i += kAhead * threads) {
    uint4 read[kAhead];
#pragma unroll
    for (unsigned j = 0; j < kAhead; j++) read[j] = read_only(memory + i + j * threads);
#pragma unroll
    for (unsigned j = 0; j < kAhead; j++) sum += folded(read[j]);
  }
  for (; i < count; i += threads) sum += folded(read_only(memory + i));
  sums[thread] = sum;
}

unsigned blocks(const Device& device) {
  return kBlocksEach * static_cast<unsigned>(device.multiprocessors);
}

}  // namespace

size_t read_sums(const Device& device) { return size_t{kReadThreads} * blocks(device); }

void read_memory(const Device& device, const void* memory, size_t bytes, uint32_t* sums) {
  PROOFMILL_LAUNCH(device, read_kernel, blocks(device), kReadThreads, 0,
                   static_cast<const uint4*>(memory), bytes / sizeof(uint4), sums);
}

}  // namespace proofmill::cuda
