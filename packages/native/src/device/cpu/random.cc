#include "device/random.h"

#include "kernels_isa.h"
#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

// random.h's functions have no branches, so that the compiler can vectorise this loop. They use
// correctly rounded operations alone, so the bits are the same on every ISA.
void inputs(uint32_t seed, size_t n, size_t begin, size_t end, bool round, float* out) {
  const uint32_t pairs = static_cast<uint32_t>((n + 1) / 2);
  constexpr size_t kChunk = 64;
  float cosines[kChunk], sines[kChunk];
  for (size_t first = begin; first < end; first += kChunk) {
    const size_t count = end - first < kChunk ? end - first : kChunk;
    const uint32_t base = static_cast<uint32_t>(first);
    for (uint32_t j = 0; j < kChunk; j++) {
      const float a = rng::uniform(rng::hash(base + j, seed));
      const float b = rng::uniform(rng::hash(base + j + pairs, seed));
      const rng::SinCos pair = rng::normal_pair(a, b);
      cosines[j] = pair.cos;
      sines[j] = pair.sin;
    }
    if (round) {
      for (size_t j = 0; j < kChunk; j += kLanes) {
        store(cosines + j, round_bf16(load(cosines + j)));
        store(sines + j, round_bf16(load(sines + j)));
      }
    }
    for (size_t j = 0; j < count; j++) {
      out[first + j] = cosines[j];
      if (first + j + pairs < n) out[first + j + pairs] = sines[j];
    }
  }
}

}  // namespace proofmill::PROOFMILL_ISA
