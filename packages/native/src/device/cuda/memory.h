// The device's memory: how much of it may be taken, taking it, and copying to it.
#pragma once

#include "device.h"
#include "device/backend.h"

namespace proofmill::cuda {

class Memory {
 public:
  // `utilization`: the share of the device's memory that may be in use, by anyone.
  Memory(const Device& device, double utilization) : device_(device), utilization_(utilization) {}

  size_t in_use() const;  // bytes, by anyone
  double left() const;    // bytes that may still be taken
  // Throws, with both numbers, where so many bytes, of which some are for weights, will not fit.
  void require(size_t bytes, size_t of_weights) const;
  // At least so many bytes. Throws Error, not DeviceLost, where they cannot be had: memory that
  // cannot be had is no fault of the device.
  Buffer allocate(size_t bytes) const;
  // Copies from memory of the host, pinned or not, and waits for that.
  void copy_up(void* to, const void* from, size_t bytes) const;

 private:
  struct Budget {
    double left, used, total;  // bytes
  };
  Budget budget() const;

  const Device& device_;
  const double utilization_;
};

}  // namespace proofmill::cuda
