#include "artifact.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "device/random.h"
#include "unit_normals.h"

namespace proofmill {

std::vector<uint32_t> picks(uint32_t seed, size_t n, size_t k) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return rng::hash(a, seed) < rng::hash(b, seed); });
  order.resize(k);
  std::sort(order.begin(), order.end() - 1);
  return order;
}

std::vector<float> artifact_reference(const std::vector<float>& hidden, uint32_t pick_seed,
                                      const std::vector<uint32_t>& rotation_seeds) {
  const size_t k = rotation_seeds.size() + 1;
  const auto norm = [](const auto& values) {
    double squares = 0;
    for (const double x : values) squares += x * x;
    return std::sqrt(squares);
  };
  const double length = norm(hidden) + 1e-8;
  std::vector<double> x;
  for (const uint32_t i : picks(pick_seed, hidden.size(), k)) x.push_back(hidden[i] / length);
  for (const uint32_t seed : rotation_seeds) {
    const std::vector<float> v = unit_normals(seed, k);
    const double along = std::inner_product(x.begin(), x.end(), v.begin(), 0.0);
    for (size_t i = 0; i < k; i++) x[i] -= 2 * along * v[i];
  }
  const double last = norm(x) + 1e-8;
  std::vector<float> out;
  for (const double y : x) {
    out.push_back(std::isfinite(length) ? static_cast<float>(y / last) : std::nanf(""));
  }
  return out;
}

}  // namespace proofmill
