#include "device/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "device/threads.h"

namespace proofmill {

double read_bandwidth(size_t threads) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kBytes = size_t{512} << 20, kPart = (size_t{1} << 20) / sizeof(uint64_t);
  constexpr int kRuns = 8;
  const std::vector<uint64_t> memory(kBytes / sizeof(uint64_t), 1);
  const Cut never;
  ThreadPool pool(threads, never);
  std::atomic<uint64_t> kept{0};  // so that the sums are not left out
  double best = 0;
  for (int run = 0; run < kRuns; run++) {
    const Clock::time_point start = Clock::now();
    pool.run(memory.size() / kPart, [&](size_t part, size_t) {
      const uint64_t* at = memory.data() + part * kPart;
      uint64_t sums[8] = {};
      for (size_t i = 0; i < kPart; i += 8) {
        for (size_t j = 0; j < 8; j++) sums[j] += at[i + j];
      }
      for (const uint64_t sum : sums) kept.fetch_add(sum, std::memory_order_relaxed);
    });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(kBytes) / seconds);
  }
  return best;
}

}  // namespace proofmill
