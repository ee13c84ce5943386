// Where a search's time goes, in the order of a pass.
#pragma once

#include <array>
#include <chrono>

#include "backend.h"

namespace proofmill {

// A norm belongs to the stage that follows it, but to `reflect` where it reflects. `readout` is
// what is made of the last position after the head: its distance or artifact.
enum class Stage { inputs, qkv, attention, o, mlp, reflect, head, readout };
constexpr size_t kStages = 8;

// Adds up the time between the beginning of one stage and that of the next.
class StageClock {
 public:
  explicit StageClock(Backend& backend) : backend_(backend) {}

  // Ends the last stage and begins this one. Returns whether the pass is still wanted.
  bool enter(Stage stage) {
    leave();
    stage_ = stage;
    since_ = Clock::now();
    running_ = true;
    return backend_.throttle();
  }
  void leave() {
    if (exact_) backend_.synchronize();
    if (!running_) return;
    const std::chrono::duration<double> spent = Clock::now() - since_;
    seconds_[static_cast<size_t>(stage_)] += spent.count();
    running_ = false;
  }
  // Waits for the device at the end of each stage: where it is given work ahead, stages cannot be
  // told apart otherwise.
  void set_exact(bool exact) { exact_ = exact; }
  bool exact() const { return exact_; }
  const std::array<double, kStages>& seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;

  Backend& backend_;
  bool exact_ = false, running_ = false;
  std::array<double, kStages> seconds_{};
  Stage stage_ = Stage::inputs;
  Clock::time_point since_;
};

}  // namespace proofmill
