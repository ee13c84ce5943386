// Seeds of a pass on the device, the same number for each of its sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"

namespace proofmill {

// The buffer serves every pass of its model: a device copies the next pass's seeds into it after
// the operations of the last pass, and graphs keep its address.
class PassSeeds {
 public:
  explicit PassSeeds(Backend& backend) : backend_(backend) {}

  // Room for so many, at least.
  void reserve(size_t seeds) {
    if (seeds_.bytes >= seeds * sizeof(uint32_t)) return;
    backend_.discard_graphs();
    seeds_ = backend_.allocate(seeds * sizeof(uint32_t));
  }
  // These seeds [count], then zeros up to as many as the pass computes with.
  void copy_in(const uint32_t* seeds, size_t count, size_t all) {
    if (all == 0) return;
    filled_.assign(seeds, seeds + count);
    filled_.resize(all, 0);
    backend_.copy_in(filled_.data(), all * sizeof(uint32_t), seeds_);
  }
  const uint32_t* on_device() const { return seeds_.as<uint32_t>(); }

 private:
  Backend& backend_;
  Buffer seeds_;
  std::vector<uint32_t> filled_;
};

}  // namespace proofmill
