// The operations of device/proof_ops.h on an NVIDIA GPU.
#pragma once

#include "device/proof_ops.h"
#include "fault.h"
#include "graphs.h"

namespace proofmill::cuda {

// T: the precision of matrix inputs, bf16 or float.
template <class T>
class CudaProofOps final : public ProofOps {
 public:
  CudaProofOps(const Device& device, const Memory& memory, Graphs& graphs, Fault& fault)
      : device_(device), memory_(memory), graphs_(graphs), fault_(fault) {}

  void inputs(const Inputs& of, float* x) override;
  void distances(const Distances& of, float* out) override;
  void artifacts(const Artifacts& of, float* out) override;
  std::vector<uint32_t> permutation(uint32_t seed, size_t n) override;

  void free_scratch() { partial_ = {}; }

 private:
  const Device& device_;
  const Memory& memory_;
  Graphs& graphs_;
  Fault& fault_;
  Buffer partial_;  // what kernels of a distance leave for each other
};

extern template class CudaProofOps<bf16>;
extern template class CudaProofOps<float>;

}  // namespace proofmill::cuda
