#include "memory.h"

#include <algorithm>

namespace proofmill::cuda {

namespace {

double gib(double bytes) { return bytes / (size_t{1} << 30); }

}  // namespace

size_t Memory::in_use() const { return static_cast<size_t>(budget().used); }

double Memory::left() const { return std::max(budget().left, 0.0); }

void Memory::require(size_t bytes, size_t of_weights) const {
  const Budget budget = this->budget();
  if (static_cast<double>(bytes) <= budget.left) return;
  fail(
      "the model needs %.1f GiB of GPU memory (%.1f GiB of weights), %.1f GiB are left on GPU %d, "
      "%s: %.1f GiB of its %.1f are in use, and %.0f %% may be (--gpu-memory-utilization)",
      gib(static_cast<double>(bytes)), gib(static_cast<double>(of_weights)),
      gib(std::max(budget.left, 0.0)), device_.index, device_.name.c_str(), gib(budget.used),
      gib(budget.total), 100 * utilization_);
}

Buffer Memory::allocate(size_t bytes) const {
  const Budget budget = this->budget();
  void* memory = nullptr;
  const size_t rounded = std::max<size_t>(divide_up(bytes, 256) * 256, 256);
  cudaError_t error = cudaErrorMemoryAllocation;
  if (static_cast<double>(rounded) <= budget.left) error = cudaMalloc(&memory, rounded);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears it: this reports it
    fail(
        "out of GPU memory: %.2f GiB are needed, %.2f GiB are left on GPU %d, %s (%.1f GiB of its "
        "%.1f are in use, and %.0f %% may be: --gpu-memory-utilization)",
        gib(static_cast<double>(rounded)), gib(std::max(budget.left, 0.0)), device_.index,
        device_.name.c_str(), gib(budget.used), gib(budget.total), 100 * utilization_);
  }
  PROOFMILL_CUDA(device_, error);
  return Buffer{{memory, [](void* old) { cudaFree(old); }}, rounded};
}

void Memory::copy_up(void* to, const void* from, size_t bytes) const {
  PROOFMILL_CUDA(device_, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, device_.stream));
  PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
}

Memory::Budget Memory::budget() const {
  size_t free = 0, total = 0;
  PROOFMILL_CUDA(device_, cudaSetDevice(device_.index));
  PROOFMILL_CUDA(device_, cudaMemGetInfo(&free, &total));
  const double all = static_cast<double>(total), used = all - static_cast<double>(free);
  return {utilization_ * all - used, used, all};
}

}  // namespace proofmill::cuda
