// What becomes of an error of the device.
#pragma once

#include <string>

#include "device/error.h"

namespace proofmill::cuda {

// An error of the device is for good: whatever it computes afterwards could be wrong. So the first
// one is remembered, and nothing is asked of the device any more.
class Fault {
 public:
  // What `work` returns. Throws DeviceLost where the device failed before, and what `work` throws.
  template <class Work>
  auto guard(Work&& work) -> decltype(work()) {
    if (!first_.empty()) {
      throw DeviceLost("the GPU failed before and is not used again: " + first_);
    }
    try {
      return work();
    } catch (const DeviceLost& error) {
      first_ = error.what();
      throw;
    }
  }

 private:
  std::string first_;
};

}  // namespace proofmill::cuda
