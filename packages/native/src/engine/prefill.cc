#include "prefill.h"

#include <algorithm>
#include <utility>

#include "device/proof_ops.h"

namespace proofmill {

Prefill::Prefill(Model model)
    : input_seeds_(model.backend()),
      reflections_(model.backend(), model.config().num_hidden_layers, model.config().hidden_size),
      model_(std::move(model)) {
  const Config& config = model_.config();
  for (size_t i = 0; i < kOutputKinds; i++) {
    readouts_[i] = make_readout(static_cast<OutputKind>(i), model_.backend(),
                                {config.num_hidden_layers, config.hidden_size, config.vocab_size});
  }
}

size_t Prefill::sequences_of_pass(size_t seq_len, size_t left) const {
  const Batching batching = model_.backend().batching(seq_len);
  if (batching.fixed) return std::min(batching.sequences, left);
  // Even shares: 6 nonces where 4 fit run as 3 + 3, not 4 + 2.
  const size_t passes = (left + batching.sequences - 1) / batching.sequences;
  return (left + passes - 1) / passes;
}

bool Prefill::begin(const Pass& pass, const std::function<void()>& layer_begins) {
  Backend& be = model_.backend();
  StageClock& clock = model_.clock();
  const Batching batching = be.batching(pass.seq_len);
  const size_t sequences = batching.fixed ? batching.sequences : pass.sequences;
  const size_t kind = static_cast<size_t>(pass.output.kind), streams = pass.input_streams;
  const bool reflects = pass.output.kind == OutputKind::artifact;
  Readout& readout = *readouts_[kind];

  model_.reserve(batching.sequences, pass.seq_len);
  input_seeds_.reserve(batching.sequences * streams);
  readout.reserve(pass.output, batching.sequences);
  if (!be.throttle()) return false;

  be.begin_pass();
  input_seeds_.copy_in(pass.input_seeds, pass.sequences * streams, sequences * streams);
  const float* reflections = reflects ? reflections_.copy_in(pass.output.layer_seeds) : nullptr;
  readout.copy_in(pass.output, pass.first, pass.sequences, sequences);
  // Stages cannot be told apart in a graph.
  if (clock.exact()) be.discard_graphs();

  const auto layers = [&] {
    if (!clock.enter(Stage::inputs)) return;
    be.proof_ops().inputs(
        {input_seeds_.on_device(), sequences, streams, pass.seq_len * model_.config().hidden_size},
        model_.embeddings());
    model_.layers(sequences, pass.seq_len, reflections, layer_begins);
  };
  const LastRows last{be,
                      clock,
                      model_.last_normed(),
                      model_.lm_head(),
                      model_.logits(),
                      model_.logits_stride(),
                      sequences};
  const auto read = [&] {
    clock.enter(Stage::head);
    model_.final_norm(sequences, reflections);
    readout.read(last);
  };
  // What is recorded differs by length, and is either the layers, which differ by the inputs'
  // streams too and by whether they reflect, or one of the readouts.
  const uint64_t key = static_cast<uint64_t>(pass.seq_len) << 8;
  if (batching.recorded) {
    be.run_recorded(key | streams << 4 | (reflects ? 8 : 0), layers);
  } else {
    layers();
  }
  if (be.throttle()) be.run_recorded(key | (kind + 1), read);
  clock.leave();
  if (be.cut.made()) {
    be.synchronize();  // the little that was ahead
    return false;
  }
  const Values values = readout.values(last);
  be.copy_out(values.at, values.stride, pass.sequences, readout.width(pass.output), pass.out);
  return true;
}

}  // namespace proofmill
