// The artifact of one nonce (docs/protocol-v2.md §1, steps 5 to 7). Bits are equal on every ISA:
// sums are in double and in one order.
#pragma once

#include "device/proof_ops.h"

namespace proofmill::cpu {

// out [k]: that of one of the rows; NaN where its hidden state is not finite.
void artifact(const ProofOps::Artifacts& of, size_t row, float* out);

}  // namespace proofmill::cpu
