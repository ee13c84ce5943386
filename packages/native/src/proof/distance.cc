#include "distance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/random.h"
#include "unit_normals.h"

namespace proofmill {

Target make_target(uint32_t seed, size_t n) {
  Target target{unit_normals(seed, n), 0};
  for (const float x : target.values) target.norm_squared += static_cast<double>(x) * x;
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
