// The vectors that a round's residual stream is reflected by, on the device (docs/protocol-v2.md
// §1, step 4).
#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"

namespace proofmill {

// One buffer serves every pass of its model, since graphs keep its address. Passes of one round
// follow each other and have the same vectors, which are made once.
class Reflections {
 public:
  Reflections(Backend& backend, size_t layers, size_t hidden_size)
      : backend_(backend), layers_(layers), hidden_size_(hidden_size) {}

  size_t layers() const { return layers_; }
  // The unit vector under each of these seeds [layers], for the pass that was begun; they are made
  // and copied where the device has others. Returns where it has them, [layers, hidden_size] f32.
  const float* copy_in(const std::vector<uint32_t>& seeds);

 private:
  Backend& backend_;
  const size_t layers_, hidden_size_;
  std::vector<uint32_t> seeds_;  // of the vectors that the device has, or empty
  Buffer vectors_;               // [layers, hidden_size] f32, taken for the first round
};

}  // namespace proofmill
