#include "proof_ops.h"

#include <algorithm>

namespace proofmill::cpu {

void CpuProofOps::inputs(const uint32_t* seeds, size_t sequences, size_t n, float* x) {
  constexpr size_t kPairs = 4096;  // of a part
  const size_t pairs = (n + 1) / 2, parts = (pairs + kPairs - 1) / kPairs;
  pool_.run(sequences * parts, [&](size_t part, size_t) {
    const size_t sequence = part / parts, begin = part % parts * kPairs;
    kernels_.inputs(seeds[sequence], n, begin, std::min(begin + kPairs, pairs), bf16_,
                    x + sequence * n);
  });
}

void CpuProofOps::distances(const Distances& of, float* out) {
  pool_.run(of.rows,
            [&](size_t row, size_t worker) { out[row] = distance(of, row, rankings_[worker]); });
}

std::vector<uint32_t> CpuProofOps::permutation(uint32_t seed, size_t n) {
  rankings_[0].rank(seed, n);
  std::vector<uint32_t> out(n);
  for (size_t i = 0; i < n; i++) out[i] = rankings_[0].index(i);
  return out;
}

}  // namespace proofmill::cpu
