#include "artifact.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "device/random.h"

namespace proofmill::cpu {

namespace {

using Values = std::vector<double>;

double norm(const Values& x) {
  double squares = 0;
  for (const double y : x) squares += y * y;
  return std::sqrt(squares);
}

// The normals of a stream of that length, as float32.
void fill_normals(uint32_t seed, Values& out) {
  const size_t n = out.size(), pairs = (n + 1) / 2;
  for (size_t j = 0; j < pairs; j++) {
    const uint32_t at = static_cast<uint32_t>(j);
    const rng::SinCos pair =
        rng::normal_pair(rng::uniform(rng::hash(at, seed)),
                         rng::uniform(rng::hash(at + static_cast<uint32_t>(pairs), seed)));
    out[j] = pair.cos;
    if (j + pairs < n) out[j + pairs] = pair.sin;
  }
}

// Indices of [0, n) with the k smallest hashes: the k - 1 smaller ones ascending, then the last.
// Hashes never tie.
std::vector<uint32_t> picks(uint32_t seed, size_t n, size_t k) {
  std::vector<std::pair<uint32_t, uint32_t>> hashed(n);
  for (uint32_t i = 0; i < n; i++) hashed[i] = {rng::hash(i, seed), i};
  const auto last = hashed.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(hashed.begin(), last, hashed.end());
  std::vector<uint32_t> picked;
  for (auto at = hashed.begin(); at != last; at++) picked.push_back(at->second);
  std::sort(picked.begin(), picked.end());
  picked.push_back(last->second);
  return picked;
}

}  // namespace

void artifact(const ProofOps::Artifacts& of, size_t row, float* out) {
  const float* hidden = of.hidden + row * of.hidden_size;
  const size_t k = of.k;
  const double scale = 1 / (norm(Values(hidden, hidden + of.hidden_size)) + 1e-8);
  Values x, v(k);
  for (const uint32_t i : picks(of.pick_seeds[row], of.hidden_size, k))
    x.push_back(hidden[i] * scale);
  for (size_t j = 0; j + 1 < k; j++) {
    fill_normals(of.rotation_seeds[row * (k - 1) + j], v);
    const double inverse = 1 / (norm(v) + 1e-30);
    double along = 0;
    for (size_t i = 0; i < k; i++) along += x[i] * (v[i] * inverse);
    for (size_t i = 0; i < k; i++) x[i] -= 2 * along * (v[i] * inverse);
  }
  const double length = norm(x) + 1e-8;
  // Where an infinity was not picked every number is 0, since `scale` is.
  const bool finite = std::isfinite(scale) && scale > 0 && std::isfinite(length);
  for (size_t i = 0; i < k; i++) {
    out[i] = finite ? static_cast<float>(x[i] / length) : std::nanf("");
  }
}

}  // namespace proofmill::cpu
