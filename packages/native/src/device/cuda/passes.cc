#include "passes.h"

#include <algorithm>
#include <cstring>

namespace proofmill::cuda {

namespace {

constexpr float kAheadMs = 250;
constexpr size_t kAlignment = 16;  // bytes, of what copy_in copies from

}  // namespace

Passes::Passes(const Device& device) : device_(device) {
  for (Slot& slot : slots_) {
    slot.done = std::make_unique<Event>(device_, cudaEventDisableTiming | cudaEventBlockingSync);
  }
}

void Passes::begin() {
  PROOFMILL_CUDA(device_, cudaSetDevice(device_.index));
  if (under_way_.size() >= kDepth) fail("a third pass was begun before the first was waited for");
  // The copies of this slot's last pass are done: it was waited for.
  slots_[next_].inputs_end = 0;
}

void Passes::copy_in(const void* from, size_t bytes, void* to) {
  Slot& slot = slots_[next_];
  if (slot.inputs_end + bytes > slot.inputs.bytes) {
    // Copies of this pass may still read it.
    PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
    slot.inputs.reserve(device_, slot.inputs_end + bytes);
    slot.inputs_end = 0;
  }
  char* staged = slot.inputs.as<char>() + slot.inputs_end;
  slot.inputs_end += divide_up(bytes, kAlignment) * kAlignment;
  std::memcpy(staged, from, bytes);
  PROOFMILL_CUDA(device_,
                 cudaMemcpyAsync(to, staged, bytes, cudaMemcpyHostToDevice, device_.stream));
}

void Passes::copy_out(const float* values, size_t stride, size_t rows, size_t width, float* out) {
  Slot& slot = slots_[next_];
  slot.values.reserve(device_, rows * width * sizeof(float));
  slot.count = rows * width;
  slot.out = out;
  const size_t row_bytes = width * sizeof(float);
  if (rows == 0) {
    // A step that reads no end has nothing to copy, and maybe nowhere to.
  } else if (stride == width) {
    PROOFMILL_CUDA(device_, cudaMemcpyAsync(slot.values.as<void>(), values, rows * row_bytes,
                                            cudaMemcpyDeviceToHost, device_.stream));
  } else {
    PROOFMILL_CUDA(device_, cudaMemcpy2DAsync(slot.values.as<void>(), row_bytes, values,
                                              stride * sizeof(float), row_bytes, rows,
                                              cudaMemcpyDeviceToHost, device_.stream));
  }
  PROOFMILL_CUDA(device_, cudaEventRecord(slot.done->event, device_.stream));
  under_way_.push_back(next_);
  next_ = (next_ + 1) % kDepth;
}

void Passes::wait() {
  if (under_way_.empty()) fail("no pass is under way");
  Slot& slot = slots_[under_way_.front()];
  under_way_.pop_front();
  PROOFMILL_CUDA(device_, cudaEventSynchronize(slot.done->event));
  std::copy_n(slot.values.as<float>(), slot.count, slot.out);
}

Throttle::Throttle(const Device& device) : device_(device) {
  for (auto& event : events_) event = std::make_unique<Event>(device_, cudaEventBlockingSync);
}

void Throttle::mark() {
  PROOFMILL_CUDA(device_, cudaEventRecord(event(next_++), device_.stream));
  while (next_ - reached_ > allowed_) {
    PROOFMILL_CUDA(device_, cudaEventSynchronize(event(reached_)));
    if (reached_ > 0) {
      float milliseconds = 0;
      PROOFMILL_CUDA(device_,
                     cudaEventElapsedTime(&milliseconds, event(reached_ - 1), event(reached_)));
      const float pieces = kAheadMs / std::max(milliseconds, 1e-3f);
      allowed_ = static_cast<size_t>(std::clamp(pieces, 1.0f, kMarks - 2.0f));
    }
    reached_++;
  }
}

}  // namespace proofmill::cuda
