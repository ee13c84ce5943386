#include "peak.h"

#include "kernels_isa.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

float first_lane(const vf (&sums)[kPeakSums]) {
  vf total = sums[0];
  for (int i = 1; i < kPeakSums; i++) total = total + sums[i];
  float lanes[kLanes];
  store(lanes, total);
  return lanes[0];
}

}  // namespace

float peak(size_t rounds) {
  vf sums[kPeakSums];
  for (int i = 0; i < kPeakSums; i++) sums[i] = splat(static_cast<float>(i));
  // volatile: with operands that the compiler knows it would compute the loop itself.
  volatile float one = 1.0f, small = 1e-9f;
  const vf a = splat(one), b = splat(small);
  for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 24
    for (int i = 0; i < kPeakSums; i++) sums[i] = fma(sums[i], a, b);
  }
  return first_lane(sums);
}

float dot_peak(size_t rounds) {
  vf sums[kPeakSums];
  for (int i = 0; i < kPeakSums; i++) sums[i] = splat(static_cast<float>(i));
  volatile uint32_t ones = 0x3f803f80, small = 0x30003000;
  const vu a = splat(ones), b = splat(small);
  for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 24
    for (int i = 0; i < kPeakSums; i++) sums[i] = dot(a, b, sums[i]);
  }
  return first_lane(sums);
}

}  // namespace proofmill::PROOFMILL_ISA
