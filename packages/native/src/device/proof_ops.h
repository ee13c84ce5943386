// What a device does for a proof beside the forward pass: one declaration for each operation. Like
// those of backend.h they are deterministic, carried out in order, and on memory of the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace proofmill {

class ProofOps {
 public:
  virtual ~ProofOps() = default;

  // x [sequences, numbers_each] f32: normals under each of seeds [sequences], rounded to the
  // precision of matrix inputs.
  virtual void inputs(const uint32_t* seeds, size_t sequences, size_t numbers_each, float* x) = 0;

  struct Distances {
    const float* logits;  // [rows, vocab], rows `stride` floats apart
    size_t stride, rows, vocab;
    const uint32_t* permutation_seeds;  // [rows]
    const float* target;                // [vocab]
    const double* target_norm_squared;  // [1]
  };
  // out [rows]: the distances of permuted logits to the target; NaN where logits are not finite or
  // all zero.
  virtual void distances(const Distances& of, float* out) = 0;

  // The order in which `distances` takes n logits: indices of [0, n), in ascending order of their
  // hash. For checks: it waits for the device, and returns memory of the host.
  virtual std::vector<uint32_t> permutation(uint32_t seed, size_t n) = 0;
};

}  // namespace proofmill
