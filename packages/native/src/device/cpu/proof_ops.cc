#include "proof_ops.h"

#include <algorithm>

#include "artifact.h"

namespace proofmill::cpu {

void CpuProofOps::inputs(const Inputs& of, float* x) {
  constexpr size_t kPairs = 4096;  // of a part
  const size_t each = of.stream_numbers();
  const size_t parts = ((each + 1) / 2 + kPairs - 1) / kPairs;  // of a stream
  pool_.run(of.sequences * of.streams * parts, [&](size_t part, size_t) {
    const size_t seed = part / parts, begin = part % parts * kPairs;
    const size_t first = seed % of.streams * each;
    const size_t n = first < of.numbers_each ? std::min(each, of.numbers_each - first) : 0;
    const size_t end = std::min(begin + kPairs, (n + 1) / 2);
    if (begin >= end) return;
    kernels_.inputs(of.seeds[seed], n, begin, end, bf16_,
                    x + seed / of.streams * of.numbers_each + first);
  });
}

void CpuProofOps::distances(const Distances& of, float* out) {
  pool_.run(of.rows,
            [&](size_t row, size_t worker) { out[row] = distance(of, row, rankings_[worker]); });
}

void CpuProofOps::artifacts(const Artifacts& of, float* out) {
  pool_.run(of.rows, [&](size_t row, size_t) { artifact(of, row, out + row * of.k); });
}

std::vector<uint32_t> CpuProofOps::permutation(uint32_t seed, size_t n) {
  rankings_[0].rank(seed, n);
  std::vector<uint32_t> out(n);
  for (size_t i = 0; i < n; i++) out[i] = rankings_[0].index(i);
  return out;
}

}  // namespace proofmill::cpu
