// The forward pass in its plainest form, as the oracle that the fast one is tested against: one
// sequence, one thread, loops as in the formulas, sums in double.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace proofmill {

// Weights are read from their files each time. Rounds where the fast path does: weights, and the
// inputs of matrix products with weights, to the precision.
struct ReferenceModel {
  const Config& config;
  const TensorMap& tensors;
  Precision precision;
};

struct ReferenceInput {
  size_t seq_len;
  std::vector<uint32_t> seeds;     // of as many streams
  std::vector<float> reflections;  // [num_hidden_layers, hidden_size], or empty
};

// The last position after the final norm, [hidden_size].
std::vector<float> reference_hidden(const ReferenceModel& model, const ReferenceInput& input);

// Its logits, [vocab_size].
std::vector<float> reference_logits(const ReferenceModel& model, const ReferenceInput& input);

}  // namespace proofmill
