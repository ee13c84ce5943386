// An artifact by its definition (docs/protocol-v2.md §1, steps 5 to 7): what the operation of a
// device is tested against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace proofmill {

// Of the indices [0, n) those with the k smallest hashes, 1 <= k <= n: the k - 1 smaller ones in
// ascending order, then the one with the k-th smallest.
std::vector<uint32_t> picks(uint32_t seed, size_t n, size_t k);

// That of a last hidden state [n]; k is one more than there are rotation seeds.
std::vector<float> artifact_reference(const std::vector<float>& hidden, uint32_t pick_seed,
                                      const std::vector<uint32_t>& rotation_seeds);

}  // namespace proofmill
