// Weights on their way from a checkpoint to the device.
#pragma once

#include <vector>

#include "device/cut.h"
#include "memory.h"
#include "pinned.h"

namespace proofmill::cuda {

// T: the precision of matrix inputs, bf16 or float, in which weights are stored. Rows of a matrix
// are padded(in_features) apart.
template <class T>
class WeightLoader {
 public:
  // `cut` is shown progress.
  WeightLoader(const Device& device, const Memory& memory, const Cut& cut)
      : device_(device), memory_(memory), cut_(cut) {}

  // As Backend's.
  Linear pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases);
  // Eight rows of gate, eight of up, and so on: what belongs together lies in one thread's part of
  // a product. Rows past the last feature are zero.
  Linear pack_gate_up(const Tensor& gate, const Tensor& up);

 private:
  static void read(const Tensor& tensor, size_t begin, size_t count, T* out);
  void upload_matrix(const Tensor& matrix, T* to);

  const Device& device_;
  const Memory& memory_;
  const Cut& cut_;
  // While one is copied up, the other is filled.
  Pinned staging_[2];
  Event copied_[2] = {{device_, cudaEventDisableTiming}, {device_, cudaEventDisableTiming}};
};

extern template class WeightLoader<bf16>;
extern template class WeightLoader<float>;

}  // namespace proofmill::cuda
