#include "distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/random.h"

namespace proofmill {

Target make_target(uint32_t seed, size_t n) {
  Target target{std::vector<float>(n), 0};
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
