#include "distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "../random.h"

namespace proofmill {

std::vector<uint32_t> permutation(uint32_t seed, size_t n) {
  // The hash is a bijection, so its high bits spread the keys evenly over buckets: count, place,
  // and put each bucket's few keys in order. No two keys are equal.
  struct Entry {
    uint32_t key, index;
  };
  int bits = 1;
  while (bits < 24 && (size_t{4} << bits) < n) bits++;
  const int shift = 32 - bits;
  std::vector<uint32_t> start((size_t{1} << bits) + 1, 0);
  for (size_t i = 0; i < n; i++) start[(rng::hash(static_cast<uint32_t>(i), seed) >> shift) + 1]++;
  std::partial_sum(start.begin(), start.end(), start.begin());
  std::vector<Entry> placed(n);
  std::vector<uint32_t> next(start.begin(), start.end() - 1);
  for (size_t i = 0; i < n; i++) {
    const uint32_t key = rng::hash(static_cast<uint32_t>(i), seed);
    placed[next[key >> shift]++] = {key, static_cast<uint32_t>(i)};
  }
  for (size_t bucket = 0; bucket + 1 < start.size(); bucket++) {
    for (size_t i = start[bucket] + 1; i < start[bucket + 1]; i++) {
      const Entry entry = placed[i];
      size_t j = i;
      for (; j > start[bucket] && placed[j - 1].key > entry.key; j--) placed[j] = placed[j - 1];
      placed[j] = entry;
    }
  }
  std::vector<uint32_t> out(n);
  for (size_t i = 0; i < n; i++) out[i] = placed[i].index;
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

float distance(const float* logits, const std::vector<uint32_t>& permutation,
               const Target& target) {
  const size_t n = target.values.size();
  double squares = 0, dot = 0;
  for (size_t i = 0; i < n; i++) squares += static_cast<double>(logits[i]) * logits[i];
  for (size_t j = 0; j < n; j++) {
    dot += static_cast<double>(logits[permutation[j]]) * target.values[j];
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
