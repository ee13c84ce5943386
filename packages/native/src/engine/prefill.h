// Nonces through a model: one pass after another, each of as many nonces as the device takes
// together.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "model/model.h"
#include "proof/readout.h"
#include "proof/reflections.h"

namespace proofmill {

// At most `sequences_of_pass` of the nonces of a job.
struct Pass {
  const uint32_t* input_seeds;  // [sequences, input_streams]
  size_t input_streams, sequences, seq_len;
  const Output& output;  // of the job, and which of its nonces is the first here
  size_t first;
  float* out;  // [sequences, width], written by the time the pass has been waited for
};

class Prefill {
 public:
  explicit Prefill(Model model);

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  const Readout& readout(OutputKind kind) const { return *readouts_[static_cast<size_t>(kind)]; }
  // How many of the nonces that are left the next pass takes.
  size_t sequences_of_pass(size_t seq_len, size_t left) const;
  // Passes that may be begun before the first is waited for.
  size_t depth() const { return model_.backend().depth(); }

  // Begins a pass. `layer_begins` is called when one does, but not where a graph runs. Returns
  // false when the backend's `cut` was made meanwhile: then there is nothing to wait for.
  bool begin(const Pass& pass, const std::function<void()>& layer_begins);
  // Waits for the oldest pass under way; its values are there then.
  void wait() {
    model_.backend().wait_pass();
    model_.backend().cut.show_progress();
  }

 private:
  PassSeeds input_seeds_;
  Reflections reflections_;
  std::array<std::unique_ptr<Readout>, kOutputKinds> readouts_;  // by kind
  // The last one, so that it goes first: its backend waits for whatever still uses these buffers.
  Model model_;
};

}  // namespace proofmill
