// One per ISA: the table of this build's kernels.
#include "kernels_isa.h"
#include "peak.h"

#define PROOFMILL_STRING_(x) #x
#define PROOFMILL_STRING(x) PROOFMILL_STRING_(x)

namespace proofmill::PROOFMILL_ISA {

extern const Kernels table;
const Kernels table = {
    PROOFMILL_STRING(PROOFMILL_ISA),
#if defined(__AVX2__) || defined(__ARM_NEON)
    true,
#else
    false,
#endif
    kDot,
    dot_is_fma,
    inputs,
    rms_norm,
    reflect_rms_norm,
    gemm,
    {peak, kPeakFlopsEach},
    {dot_peak, 2 * kPeakFlopsEach},
    read,
    attention_scratch_floats,
    kv_page_bytes,
    pack_kv,
    attend,
};

}  // namespace proofmill::PROOFMILL_ISA
