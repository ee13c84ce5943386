// The operations of device/proof_ops.h on the CPU.
#pragma once

#include <vector>

#include "device/proof_ops.h"
#include "device/threads.h"
#include "distance.h"
#include "kernels.h"

namespace proofmill::cpu {

class CpuProofOps final : public ProofOps {
 public:
  // Inputs are rounded to bf16, or else stay float32.
  CpuProofOps(ThreadPool& pool, const Kernels& kernels, bool bf16)
      : pool_(pool), kernels_(kernels), bf16_(bf16), rankings_(pool.size()) {}

  void inputs(const Inputs& of, float* x) override;
  void distances(const Distances& of, float* out) override;
  void artifacts(const Artifacts& of, float* out) override;
  std::vector<uint32_t> permutation(uint32_t seed, size_t n) override;

 private:
  ThreadPool& pool_;
  const Kernels& kernels_;
  const bool bf16_;
  std::vector<Ranking> rankings_;  // one for each worker
};

}  // namespace proofmill::cpu
