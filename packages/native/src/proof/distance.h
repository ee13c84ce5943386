// The target of a round, and the distance from its definition (docs/protocol.md §1, steps 8 and 9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace proofmill {

// n normals divided by their L2 norm, and what a distance needs of them.
struct Target {
  std::vector<float> values;  // [n]
  double norm_squared;        // of the values as they are: 1, but for their rounding to float32
};
Target make_target(uint32_t seed, size_t n);

// The distance of logits [n] as the protocol defines it, by a sort and the norm of a difference:
// what the operation of a device is tested against. NaN where the logits are not finite or all
// zero.
float distance_reference(const float* logits, size_t n, uint32_t permutation_seed,
                         uint32_t target_seed);

}  // namespace proofmill
