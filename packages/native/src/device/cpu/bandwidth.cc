#include "bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "memory.h"

namespace proofmill::cpu {

double read_bandwidth(const Kernels& kernels, ThreadPool& pool) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kBytes = size_t{512} << 20, kPart = size_t{1} << 20;
  constexpr int kRuns = 8;
  // As weights lie: in large pages, from which two cores read a fifth more than from small ones.
  const Buffer memory = allocate(kBytes);
  std::memset(memory.as<char>(), 1, kBytes);
  std::atomic<uint32_t> kept{0};  // so that nothing is left out
  double best = 0;
  for (int run = 0; run < kRuns; run++) {
    const Clock::time_point start = Clock::now();
    pool.run(kBytes / kPart, [&](size_t part, size_t) {
      kept.fetch_add(kernels.read(memory.as<char>() + part * kPart, kPart),
                     std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(kBytes) / seconds);
  }
  return best;
}

}  // namespace proofmill::cpu
