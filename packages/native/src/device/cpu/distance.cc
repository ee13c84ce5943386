#include "distance.h"

#include <array>
#include <cmath>
#include <numeric>

#include "device/random.h"

namespace proofmill::cpu {

// A radix sort, and an insertion sort of what is left. The hash is a bijection, so no two keys are
// equal, and their high bits spread them evenly. Keys are first distributed by their upper 8 bits;
// then each of these parts, which fits a cache, by so many bits more that few keys share them.
void Ranking::rank(uint32_t seed, size_t n) {
  constexpr int kCoarse = 8;
  int bits = kCoarse;
  while (bits < 24 && (size_t{1} << bits) < n) bits++;
  const int shift = 32 - bits;
  const uint32_t fine = (uint32_t{1} << (bits - kCoarse)) - 1;

  coarse_.resize(n);
  ranked_.resize(n);
  std::array<uint32_t, (1 << kCoarse) + 1> start{};
  for (size_t i = 0; i < n; i++) {
    ranked_[i] = {rng::hash(static_cast<uint32_t>(i), seed), static_cast<uint32_t>(i)};
    start[(ranked_[i].key >> (32 - kCoarse)) + 1]++;
  }
  std::partial_sum(start.begin(), start.end(), start.begin());
  auto next = start;
  for (const Entry& entry : ranked_) coarse_[next[entry.key >> (32 - kCoarse)]++] = entry;

  for (size_t part = 0; part + 1 < start.size(); part++) {
    const uint32_t first = start[part], end = start[part + 1];
    next_.assign(fine + 2, 0);
    for (uint32_t i = first; i < end; i++) next_[(coarse_[i].key >> shift & fine) + 1]++;
    next_[0] = first;
    std::partial_sum(next_.begin(), next_.end(), next_.begin());
    for (uint32_t i = first; i < end; i++) {
      ranked_[next_[coarse_[i].key >> shift & fine]++] = coarse_[i];
    }
    for (uint32_t i = first; i < end; i++) {
      const Entry entry = ranked_[i];
      uint32_t j = i;
      for (; j > first && ranked_[j - 1].key > entry.key; j--) ranked_[j] = ranked_[j - 1];
      ranked_[j] = entry;
    }
  }
}

float distance(const ProofOps::Distances& of, size_t row, Ranking& ranking) {
  const float* logits = of.logits + row * of.stride;
  const size_t n = of.vocab;
  double squares = 0, dot = 0;
  for (size_t i = 0; i < n; i++) squares += static_cast<double>(logits[i]) * logits[i];
  ranking.rank(of.permutation_seeds[row], n);
  for (size_t j = 0; j < n; j++) {
    dot += static_cast<double>(logits[ranking.index(j)]) * of.target[j];
  }
  // |u - t|^2 = |u|^2 + |t|^2 - 2 u.t with |u| = 1: one loop, and what cancels is far above a
  // double's precision.
  const double squared = 1.0 + *of.target_norm_squared - 2.0 * dot / std::sqrt(squares);
  if (!std::isfinite(squared)) return std::nanf("");
  return static_cast<float>(std::sqrt(squared < 0 ? 0 : squared));
}

}  // namespace proofmill::cpu
