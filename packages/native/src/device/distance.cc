#include "distance.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "random.h"

namespace proofmill {

// The hash is a bijection, so its high bits spread the keys evenly, and no two keys are equal.
// First by the upper 8 bits, in streams; then each of these parts, which fits a cache, by bits that
// leave few keys together, which are put in order one by one.
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

std::vector<uint32_t> permutation(uint32_t seed, size_t n) {
  Ranking ranking;
  ranking.rank(seed, n);
  std::vector<uint32_t> out(n);
  for (size_t i = 0; i < n; i++) out[i] = ranking.index(i);
  return out;
}

Target make_target(uint32_t seed, size_t n) {
  Target target{seed, std::vector<float>(n), 0};
  const uint32_t pairs = static_cast<uint32_t>((n + 1) / 2);
  for (uint32_t j = 0; j < pairs; j++) {
    const rng::SinCos pair = rng::normal_pair(rng::uniform(rng::hash(j, seed)),
                                              rng::uniform(rng::hash(j + pairs, seed)));
    target.values[j] = pair.cos;
    if (j + pairs < n) target.values[j + pairs] = pair.sin;
  }
  double sum = 0;
  for (const float x : target.values) sum += static_cast<double>(x) * x;
  const double norm = std::sqrt(sum);
  for (float& x : target.values) {
    x = static_cast<float>(x / norm);
    target.norm_squared += static_cast<double>(x) * x;
  }
  return target;
}

float distance(const float* logits, uint32_t permutation_seed, const Target& target,
               Ranking& ranking) {
  const size_t n = target.values.size();
  double squares = 0, dot = 0;
  for (size_t i = 0; i < n; i++) squares += static_cast<double>(logits[i]) * logits[i];
  ranking.rank(permutation_seed, n);
  for (size_t j = 0; j < n; j++) {
    dot += static_cast<double>(logits[ranking.index(j)]) * target.values[j];
  }
  // |u - t|^2 = |u|^2 + |t|^2 - 2 u.t with |u| = 1: one pass, and no cancellation that a double
  // feels.
  const double squared = 1.0 + target.norm_squared - 2.0 * dot / std::sqrt(squares);
  if (!std::isfinite(squared)) return std::nanf("");
  return static_cast<float>(std::sqrt(squared < 0 ? 0 : squared));
}

float distance_reference(const float* logits, size_t n, uint32_t permutation_seed,
                         uint32_t target_seed) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return rng::hash(a, permutation_seed) < rng::hash(b, permutation_seed);
  });
  const Target target = make_target(target_seed, n);
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += static_cast<double>(logits[i]) * logits[i];
  const double norm = std::sqrt(squares);
  double sum = 0;
  for (size_t j = 0; j < n; j++) {
    const double difference = logits[order[j]] / norm - target.values[j];
    sum += difference * difference;
  }
  return static_cast<float>(std::sqrt(sum));
}

}  // namespace proofmill
