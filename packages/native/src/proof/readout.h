// What is read from the last positions of a pass: for each nonce its distance, its artifact, its
// logits or its hidden values. The forward pass and the queue of jobs know no more of it than
// Readout says.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "device/backend.h"
#include "device/stages.h"
#include "seeds.h"

namespace proofmill {

enum class OutputKind { distance, artifact, logits, hidden };
constexpr size_t kOutputKinds = 4;

// What a job asks for.
struct Output {
  OutputKind kind = OutputKind::distance;
  std::vector<uint32_t> permutation_seeds;  // [batch], distance only
  uint32_t target_seed = 0;                 // distance only
  size_t k = 0;                             // artifact only, as all that follows
  std::vector<uint32_t> layer_seeds;        // [num_hidden_layers]
  std::vector<uint32_t> pick_seeds;         // [batch]
  std::vector<uint32_t> rotation_seeds;     // [batch, k - 1]
};

// The last positions of a pass's sequences on the device, and what a readout makes its values with.
struct LastRows {
  Backend& backend;
  StageClock& clock;
  const Act& normed;      // [rows, hidden_size], through the final norm
  const Linear& lm_head;  // [vocab_size, hidden_size]
  float* logits;          // room for logits [rows, logits_stride] f32, or [rows, hidden_size]
  size_t logits_stride;
  size_t rows;
};

// Rows of float32 on the device.
struct Values {
  const float* at;
  size_t stride;  // floats
};

// One for each kind of output, for as long as its model lives. Its buffers serve every pass: a
// device fills them for the next pass after the operations of the last one.
class Readout {
 public:
  virtual ~Readout() = default;
  // Floats that a nonce of such a job yields.
  virtual size_t width(const Output& output) const = 0;
  // Throws where a job of so many nonces cannot have this output.
  virtual void check(const Output& output, size_t batch) const {
    (void)output;
    (void)batch;
  }
  // Takes memory for passes of so many sequences.
  virtual void reserve(const Output& output, size_t sequences) {
    (void)output;
    (void)sequences;
  }
  // Copies in what nonces [first, first + count) of a job need, for a pass that computes so many
  // sequences.
  virtual void copy_in(const Output& output, size_t first, size_t count, size_t sequences) {
    (void)output;
    (void)first;
    (void)count;
    (void)sequences;
  }
  // The operations that make the values. They are the same in every pass of as many rows.
  virtual void read(const LastRows& last) = 0;
  // Where `read` leaves the values, [rows, width].
  virtual Values values(const LastRows& last) const = 0;
};

struct ReadoutSizes {
  size_t layers, hidden_size, vocab_size;
};

std::unique_ptr<Readout> make_readout(OutputKind kind, Backend& backend, const ReadoutSizes& sizes);

}  // namespace proofmill
