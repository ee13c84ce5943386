// The forward pass in its plainest form, as the oracle that the fast one is tested against: one
// sequence, one thread, loops as in the formulas, sums in double.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace proofmill {

// Logits [vocab_size] of the last position. Weights are read from their files each time. Rounds
// where the fast path does: weights, and the inputs of matrix products with weights, to the
// precision.
std::vector<float> reference_logits(const Config& config, const TensorMap& tensors,
                                    Precision precision, size_t seq_len, uint32_t input_seed);

}  // namespace proofmill
