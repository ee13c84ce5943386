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

  // Normals, rounded to the precision of matrix inputs. A sequence's are `streams` streams behind
  // each other, each of numbers_each / streams of them, rounded up, but for the last ones; every
  // stream has a seed of its own.
  struct Inputs {
    const uint32_t* seeds;  // [sequences, streams]
    size_t sequences, streams, numbers_each;

    // Numbers of the longest stream.
    size_t stream_numbers() const { return (numbers_each + streams - 1) / streams; }
  };
  // x [sequences, numbers_each] f32
  virtual void inputs(const Inputs& of, float* x) = 0;

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

  struct Artifacts {
    const float* hidden;  // [rows, hidden_size]
    size_t rows, hidden_size;
    size_t k;                        // 1 .. hidden_size
    const uint32_t* pick_seeds;      // [rows]
    const uint32_t* rotation_seeds;  // [rows, k - 1]
  };
  // out [rows, k]: of each row, divided by its norm, the numbers with the k smallest hashes; first
  // the k - 1 smaller ones in the order of their indices, then the last one. These are reflected by
  // a unit vector under each rotation seed, and divided by their norm. NaN where a row is not
  // finite.
  virtual void artifacts(const Artifacts& of, float* out) = 0;

  // The order in which `distances` takes n logits: indices of [0, n), in ascending order of their
  // hash. For checks: it waits for the device, and returns memory of the host.
  virtual std::vector<uint32_t> permutation(uint32_t seed, size_t n) = 0;
};

}  // namespace proofmill
