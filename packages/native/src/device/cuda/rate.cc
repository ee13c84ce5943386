#include "rate.h"

#include <algorithm>
#include <vector>

#include "kernels.h"
#include "pinned.h"

namespace proofmill::cuda {

double rate(const Device& device, const std::function<void()>& work) {
  constexpr int kRuns = 10, kMeasurements = 5;
  const Event from(device, 0), to(device, 0);
  std::vector<double> rates;
  for (int i = 0; i < kMeasurements; i++) {
    work();  // not measured: the first of a kind takes longer
    PROOFMILL_CUDA(device, cudaEventRecord(from.event, device.stream));
    for (int run = 0; run < kRuns; run++) work();
    PROOFMILL_CUDA(device, cudaEventRecord(to.event, device.stream));
    PROOFMILL_CUDA(device, cudaEventSynchronize(to.event));
    float milliseconds = 0;
    PROOFMILL_CUDA(device, cudaEventElapsedTime(&milliseconds, from.event, to.event));
    rates.push_back(kRuns / (milliseconds * 1e-3));
  }
  std::sort(rates.begin(), rates.end());
  return rates[rates.size() / 2];
}

double read_rate(const Device& device, const Memory& memory) {
  // A GiB on a large card, twenty times what its L2 holds.
  const size_t bytes = static_cast<size_t>(device.multiprocessors) << 23;
  const Buffer read = memory.allocate(bytes);
  const Buffer sums = memory.allocate(read_sums(device) * sizeof(uint32_t));
  random_weights<float>(device, 1, 0, bytes / sizeof(float), read.as<float>());
  return static_cast<double>(bytes) *
         rate(device, [&] { read_memory(device, read.as<void>(), bytes, sums.as<uint32_t>()); });
}

}  // namespace proofmill::cuda
