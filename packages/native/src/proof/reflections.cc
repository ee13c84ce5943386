#include "reflections.h"

#include <utility>

#include "unit_normals.h"

namespace proofmill {

const float* Reflections::copy_in(const std::vector<uint32_t>& seeds) {
  if (seeds == seeds_) return vectors_.as<float>();
  seeds_.clear();
  const size_t bytes = layers_ * hidden_size_ * sizeof(float);
  if (vectors_.bytes == 0) vectors_ = backend_.allocate(bytes);
  std::vector<float> vectors;
  vectors.reserve(layers_ * hidden_size_);
  for (const uint32_t seed : seeds) {
    const std::vector<float> one = unit_normals(seed, hidden_size_);
    vectors.insert(vectors.end(), one.begin(), one.end());
  }
  backend_.copy_in(vectors.data(), bytes, vectors_);
  seeds_ = seeds;
  return vectors_.as<float>();
}

}  // namespace proofmill
