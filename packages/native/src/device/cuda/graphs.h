// Operations that are the same in every pass, recorded once as a graph and then run as one.
#pragma once

#include <functional>
#include <map>

#include "device/cut.h"
#include "memory.h"

namespace proofmill::cuda {

// Graphs keep the addresses that their operations were recorded with.
class Graphs {
 public:
  Graphs(const Device& device, const Memory& memory, const Cut& cut)
      : device_(device), memory_(memory), cut_(cut) {}
  ~Graphs() { destroy(); }
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // The first time under a key operations run as they come, since they choose algorithms and take
  // memory; the second time they are recorded; from then on their graph runs.
  void run(uint64_t key, const std::function<void()>& operations);
  // While operations are recorded nothing of them runs.
  bool recording() const { return recording_; }
  // Waits for the passes under way, which may use what is freed next, and the graphs themselves.
  void discard();
  // A buffer's memory, [count]. Where it has to grow, graphs are discarded and its values lost.
  template <class N>
  N* grown(Buffer& buffer, size_t count) {
    if (buffer.bytes < count * sizeof(N)) {
      discard();
      buffer = {};
      buffer = memory_.allocate(count * sizeof(N));
    }
    return buffer.as<N>();
  }

 private:
  cudaGraphExec_t record(const std::function<void()>& operations);
  void destroy();

  const Device& device_;
  const Memory& memory_;
  const Cut& cut_;
  std::map<uint64_t, cudaGraphExec_t> graphs_;  // null: its operations have run once
  bool recording_ = false;
};

}  // namespace proofmill::cuda
