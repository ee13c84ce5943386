// Permutation, target and distance (docs/protocol.md §1, steps 7 to 9). Bits are equal on every
// ISA: everything is integer work or a double sum in index order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace proofmill {

// Indices of [0, n) in ascending order of hash(i, seed), n < 2^32; its memory serves the next one.
class Ranking {
 public:
  void rank(uint32_t seed, size_t n);
  uint32_t index(size_t rank) const { return ranked_[rank].index; }

 private:
  struct Entry {
    uint32_t key, index;
  };
  std::vector<Entry> coarse_, ranked_;
  std::vector<uint32_t> next_;
};

// [n] indices in ascending order of hash(i, seed). n < 2^32.
std::vector<uint32_t> permutation(uint32_t seed, size_t n);

// n normals divided by their L2 norm, with what the distance needs of them.
struct Target {
  uint32_t seed = 0;
  std::vector<float> values;  // [vocab]
  double norm_squared = 0;    // of the rounded values: 1 but for their rounding
};
Target make_target(uint32_t seed, size_t n);

// The distance of logits [target.values.size()] under a permutation, as a float32; NaN where the
// logits are not finite or all zero.
float distance(const float* logits, uint32_t permutation_seed, const Target& target,
               Ranking& ranking);

// The same from the definition: a sort, and the norm of a difference.
float distance_reference(const float* logits, size_t n, uint32_t permutation_seed,
                         uint32_t target_seed);

}  // namespace proofmill
