#include "readout.h"

#include "device/error.h"
#include "device/proof_ops.h"
#include "distance.h"

namespace proofmill {

namespace {

class HiddenReadout final : public Readout {
 public:
  explicit HiddenReadout(size_t hidden_size) : hidden_size_(hidden_size) {}

  size_t width(const Output&) const override { return hidden_size_; }
  void read(const LastRows& last) override {
    last.backend.widen(last.normed, last.rows, last.logits);
  }
  Values values(const LastRows& last) const override { return {last.logits, hidden_size_}; }

 private:
  const size_t hidden_size_;
};

class LogitsReadout final : public Readout {
 public:
  explicit LogitsReadout(size_t vocab_size) : vocab_size_(vocab_size) {}

  size_t width(const Output&) const override { return vocab_size_; }
  void read(const LastRows& last) override {
    last.backend.linear(last.normed, last.lm_head, last.rows, last.logits, last.logits_stride);
  }
  Values values(const LastRows& last) const override { return {last.logits, last.logits_stride}; }

 private:
  const size_t vocab_size_;
};

// Logits in the order that a nonce's seed gives, against the target of its round.
class DistanceReadout final : public Readout {
 public:
  DistanceReadout(Backend& backend, size_t vocab_size)
      : backend_(backend),
        vocab_size_(vocab_size),
        logits_(vocab_size),
        permutation_seeds_(backend) {}

  size_t width(const Output&) const override { return 1; }
  void check(const Output& output, size_t batch) const override {
    if (output.permutation_seeds.size() == batch) return;
    fail("permutation_seeds must hold one seed for each of the %zu input_seeds, not %zu", batch,
         output.permutation_seeds.size());
  }
  void reserve(const Output&, size_t sequences) override {
    if (target_.bytes == 0) target_ = backend_.allocate(vocab_size_ * sizeof(float));
    if (target_norm_squared_.bytes == 0) target_norm_squared_ = backend_.allocate(sizeof(double));
    permutation_seeds_.reserve(sequences);
    if (distances_.bytes >= sequences * sizeof(float)) return;
    backend_.discard_graphs();
    distances_ = backend_.allocate(sequences * sizeof(float));
  }
  void copy_in(const Output& output, size_t first, size_t count, size_t sequences) override {
    permutation_seeds_.copy_in(output.permutation_seeds.data() + first, count, sequences);
    // Passes of one round follow each other, and have one target.
    if (target_seed_ == output.target_seed) return;
    target_seed_.reset();
    const Target target = make_target(output.target_seed, vocab_size_);
    backend_.copy_in(target.values.data(), target.values.size() * sizeof(float), target_);
    backend_.copy_in(&target.norm_squared, sizeof(double), target_norm_squared_);
    target_seed_ = output.target_seed;
  }
  void read(const LastRows& last) override {
    logits_.read(last);
    last.clock.enter(Stage::readout);
    const Values logits = logits_.values(last);
    backend_.proof_ops().distances(
        {logits.at, logits.stride, last.rows, vocab_size_, permutation_seeds_.on_device(),
         target_.as<float>(), target_norm_squared_.as<double>()},
        distances_.as<float>());
  }
  Values values(const LastRows&) const override { return {distances_.as<float>(), 1}; }

 private:
  Backend& backend_;
  const size_t vocab_size_;
  LogitsReadout logits_;
  PassSeeds permutation_seeds_;
  std::optional<uint32_t> target_seed_;  // of the target that the device has
  Buffer target_;                        // [vocab_size] f32
  Buffer target_norm_squared_;           // [1] f64
  Buffer distances_;                     // [sequences] f32
};

// A few numbers of the last hidden state, which a nonce's seeds pick and rotate.
class ArtifactReadout final : public Readout {
 public:
  ArtifactReadout(Backend& backend, size_t layers, size_t hidden_size)
      : backend_(backend),
        layers_(layers),
        hidden_size_(hidden_size),
        hidden_(hidden_size),
        pick_seeds_(backend),
        rotation_seeds_(backend) {}

  size_t width(const Output& output) const override { return output.k; }
  void check(const Output& output, size_t batch) const override {
    if (output.k < 1 || output.k > hidden_size_) {
      fail("k_dim must be between 1 and the model's hidden_size, %zu, not %zu", hidden_size_,
           output.k);
    }
    const auto expect = [](const char* name, size_t count, size_t expected) {
      if (count != expected) fail("%s must hold %zu seeds, not %zu", name, expected, count);
    };
    expect("layer_seeds", output.layer_seeds.size(), layers_);
    expect("pick_seeds", output.pick_seeds.size(), batch);
    expect("rotation_seeds", output.rotation_seeds.size(), batch * (output.k - 1));
  }
  void reserve(const Output& output, size_t sequences) override {
    if (k_ != output.k) backend_.discard_graphs();  // they hold it
    k_ = output.k;
    pick_seeds_.reserve(sequences);
    rotation_seeds_.reserve(sequences * (k_ - 1));
    if (artifacts_.bytes >= sequences * k_ * sizeof(float)) return;
    backend_.discard_graphs();
    artifacts_ = backend_.allocate(sequences * k_ * sizeof(float));
  }
  void copy_in(const Output& output, size_t first, size_t count, size_t sequences) override {
    const size_t each = k_ - 1;
    pick_seeds_.copy_in(output.pick_seeds.data() + first, count, sequences);
    rotation_seeds_.copy_in(output.rotation_seeds.data() + first * each, count * each,
                            sequences * each);
  }
  void read(const LastRows& last) override {
    hidden_.read(last);
    last.clock.enter(Stage::readout);
    backend_.proof_ops().artifacts({last.logits, last.rows, hidden_size_, k_,
                                    pick_seeds_.on_device(), rotation_seeds_.on_device()},
                                   artifacts_.as<float>());
  }
  Values values(const LastRows&) const override { return {artifacts_.as<float>(), k_}; }

 private:
  Backend& backend_;
  const size_t layers_, hidden_size_;
  HiddenReadout hidden_;
  size_t k_ = 0;  // of the last job
  PassSeeds pick_seeds_, rotation_seeds_;
  Buffer artifacts_;  // [sequences, k] f32
};

}  // namespace

std::unique_ptr<Readout> make_readout(OutputKind kind, Backend& backend,
                                      const ReadoutSizes& sizes) {
  switch (kind) {
    case OutputKind::hidden:
      return std::make_unique<HiddenReadout>(sizes.hidden_size);
    case OutputKind::logits:
      return std::make_unique<LogitsReadout>(sizes.vocab_size);
    case OutputKind::artifact:
      return std::make_unique<ArtifactReadout>(backend, sizes.layers, sizes.hidden_size);
    case OutputKind::distance:
      break;
  }
  return std::make_unique<DistanceReadout>(backend, sizes.vocab_size);
}

}  // namespace proofmill
