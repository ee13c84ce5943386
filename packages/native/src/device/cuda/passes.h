// What goes between the host and the device in a pass, and how far the host runs ahead.
#pragma once

#include <deque>
#include <memory>

#include "device/backend.h"
#include "pinned.h"

namespace proofmill::cuda {

// Tokens of a pass, for each multiprocessor: with so many, tiles of 128 rows by 256 columns divide
// evenly among the multiprocessors. 8,448 tokens on an H100.
constexpr size_t kTokensEach = 64;
constexpr size_t kMaxSequences = 1024;

// Passes under way. Copies go through pinned memory of their pass, so that the next pass can be
// given to the device meanwhile.
class Passes {
 public:
  // One at work, one that waits.
  static constexpr size_t kDepth = 2;

  explicit Passes(const Device& device);

  // As Backend's begin_pass, copy_in, copy_out and wait_pass.
  void begin();
  void copy_in(const void* from, size_t bytes, void* to);
  void copy_out(const float* values, size_t stride, size_t rows, size_t width, float* out);
  void wait();

 private:
  struct Slot {
    Pinned inputs;          // what copy_in copies from
    size_t inputs_end = 0;  // bytes of it that this pass uses
    Pinned values;          // what copy_out copies into
    std::unique_ptr<Event> done;
    size_t count = 0;  // of values
    float* out = nullptr;
  };

  const Device& device_;
  Slot slots_[kDepth];
  size_t next_ = 0;               // the slot of the pass that is being begun
  std::deque<size_t> under_way_;  // slots, oldest first
};

// Keeps what the device is given ahead to a quarter of a second, by marks between the pieces.
class Throttle {
 public:
  explicit Throttle(const Device& device);

  // Leaves a mark behind what was given so far, and waits while too much is ahead.
  void mark();

 private:
  static constexpr size_t kMarks = 16;

  cudaEvent_t event(size_t mark) const { return events_[mark % kMarks]->event; }

  const Device& device_;
  std::unique_ptr<Event> events_[kMarks];
  // Marks are numbered: those before `reached_` have been reached, the next one is `next_`.
  size_t next_ = 0, reached_ = 0;
  size_t allowed_ = kMarks - 2;  // marks that may be ahead
};

}  // namespace proofmill::cuda
