#include "unit_normals.h"

#include <cmath>

#include "device/random.h"

namespace proofmill {

std::vector<float> unit_normals(uint32_t seed, size_t n) {
  std::vector<float> values(n);
  const uint32_t pairs = static_cast<uint32_t>((n + 1) / 2);
  for (uint32_t j = 0; j < pairs; j++) {
    const rng::SinCos pair = rng::normal_pair(rng::uniform(rng::hash(j, seed)),
                                              rng::uniform(rng::hash(j + pairs, seed)));
    values[j] = pair.cos;
    if (j + pairs < n) values[j + pairs] = pair.sin;
  }
  double sum = 0;
  for (const float x : values) sum += static_cast<double>(x) * x;
  const double norm = std::sqrt(sum);
  for (float& x : values) x = static_cast<float>(x / norm);
  return values;
}

}  // namespace proofmill
