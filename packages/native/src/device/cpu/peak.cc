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

uint32_t read(const char* memory, size_t bytes) {
  // The CPU's own prefetching ends with each 4 KiB.
  constexpr size_t kAhead = 4096, kLine = 64;
  constexpr int kVectorsEach = 512 / (kLanes * sizeof(float));
  vu sum = {};
  for (const char* at = memory; at < memory + bytes; at += 512) {
#pragma GCC unroll 8
    for (size_t i = 0; i < 512; i += kLine) __builtin_prefetch(at + i + kAhead, 0, 2);
#pragma GCC unroll 32
    for (int i = 0; i < kVectorsEach; i++) {
      sum = sum + load(reinterpret_cast<const uint32_t*>(at) + i * kLanes);
    }
  }
  uint32_t lanes[kLanes];
  std::memcpy(lanes, &sum, sizeof sum);
  uint32_t total = 0;
  for (const uint32_t lane : lanes) total += lane;
  return total;
}

}  // namespace proofmill::PROOFMILL_ISA
