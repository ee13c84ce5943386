// The distance of one nonce (docs/protocol.md §1, steps 7 and 9). Bits are equal on every ISA:
// everything is integer work or a double sum in index order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/proof_ops.h"

namespace proofmill::cpu {

// Indices of [0, n) in ascending order of hash(i, seed), n < 2^32. Its memory is reused by the next
// call of `rank`.
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

// The distance of one of the rows, as a float32; NaN where its logits are not finite or all zero.
float distance(const ProofOps::Distances& of, size_t row, Ranking& ranking);

}  // namespace proofmill::cpu
