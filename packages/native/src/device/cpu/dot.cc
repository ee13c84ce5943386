// Whether this CPU's instruction for pairs of bf16 rounds as its description says: as a
// multiply-add of the odd halves, then one of the even ones.
#include "device/random.h"
#include "kernels_isa.h"
#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

bool dot_is_fma() {
  // Random bits, infinities and NaNs left out: half of them of about unit size, where sums round
  // and cancel, the others of any size.
  const auto number = [](uint32_t i, uint32_t unit) {
    const uint32_t bits = rng::hash(i, 1), exponent = bits >> 23 & 0xff;
    const uint32_t any = exponent == 0xff ? 0xfe : exponent;
    return (bits & 0x807fffff) | (unit ? 0x7c + exponent % 8 : any) << 23;
  };
  bool equal = true;
  for (uint32_t i = 0; i < 4096; i++) {
    uint32_t a[kLanes], b[kLanes], c[kLanes];
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      const uint32_t at = (i * kLanes + lane) * 5, unit = i % 2;
      a[lane] = (number(at, unit) & 0xffff0000) | number(at + 1, unit) >> 16;
      b[lane] = (number(at + 2, unit) & 0xffff0000) | number(at + 3, unit) >> 16;
      c[lane] = number(at + 4, unit);
    }
    const vu x = load(a), y = load(b);
    const vf sum = as_float(load(c));
    float one[kLanes], two[kLanes];
    store(one, dot(x, y, sum));
    store(two, fma(even_of(x), even_of(y), fma(odd_of(x), odd_of(y), sum)));
    // Sums that overflow may be NaNs of any bits.
    for (int lane = 0; lane < kLanes; lane++) {
      const bool both_nan = one[lane] != one[lane] && two[lane] != two[lane];
      equal = equal && (both_nan || std::memcmp(&one[lane], &two[lane], sizeof(float)) == 0);
    }
  }
  return equal;
}

}  // namespace proofmill::PROOFMILL_ISA
