// Permutation and distance (docs/protocol.md §1, steps 7 to 9) without a sort of the whole.
//
// The hash is a bijection on uint32, so a stretch of hash values holds its even share of a
// vocabulary. Each block takes one stretch of one nonce: it hashes the whole vocabulary, counts
// what lies below its stretch (the rank at which it begins), puts the indices of what lies inside
// into buckets in shared memory, and puts each bucket's few in order. Hashing again costs less than
// keeping keys: a hash is 14 integer operations.
#include <cmath>

#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr int kThreads = 1024;
constexpr uint32_t kBuckets = 8192;  // of a stretch

struct Shared {
  uint32_t counts[kThreads / 32];
  double sums[kThreads / 32];
  uint32_t bucket[kBuckets];  // first how many it holds, then where it begins, then where it ends
  uint32_t index[1];          // [capacity]
};

// Replaces counts by where each bucket begins, and gives their total; every thread calls it.
__device__ uint32_t prefix_sums(Shared& s) {
  constexpr uint32_t kEach = kBuckets / kThreads;
  const uint32_t first = threadIdx.x * kEach;
  uint32_t counts[kEach], total = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; i++) {
    counts[i] = s.bucket[first + i];
    total += counts[i];
  }
  uint32_t through = total;  // this thread's and those before it in the warp
  for (unsigned delta = 1; delta < kWarp; delta *= 2) {
    const uint32_t other = __shfl_up_sync(kAllLanes, through, delta);
    if (threadIdx.x % kWarp >= delta) through += other;
  }
  if (threadIdx.x % kWarp == kWarp - 1) s.counts[threadIdx.x / kWarp] = through;
  __syncthreads();
  uint32_t warps_before = 0, all = 0;
  for (uint32_t warp = 0; warp < kThreads / 32; warp++) {
    if (warp < threadIdx.x / kWarp) warps_before += s.counts[warp];
    all += s.counts[warp];
  }
  uint32_t at = warps_before + through - total;
#pragma unroll
  for (uint32_t i = 0; i < kEach; i++) {
    s.bucket[first + i] = at;
    at += counts[i];
  }
  __syncthreads();
  return all;
}

// Calls visit(rank, index) for every index < n whose hash lies in [low, low + width), each by one
// thread, in an order that is always the same for that thread. `width` is a power of two; `rank`
// numbers hashes of the whole vocabulary.
template <class Visit>
__device__ void visit_stretch(Shared& s, uint32_t capacity, uint32_t seed, uint32_t n, uint64_t low,
                              uint64_t width, Visit&& visit) {
  const uint64_t end = low + width;
  // A stretch that by chance holds more than there is room for is done in halves, quarters and so
  // on.
  uint64_t step = width;
  while (low < end) {
    int shift = 0;
    while ((step >> shift) > kBuckets) shift++;
    for (uint32_t i = threadIdx.x; i < kBuckets; i += kThreads) s.bucket[i] = 0;
    __syncthreads();
    uint32_t below = 0;
    for (uint32_t i = threadIdx.x; i < n; i += kThreads) {
      const uint32_t h = rng::hash(i, seed);
      below += h < low ? 1u : 0u;
      if (h >= low && h - low < step) {
        atomicAdd(&s.bucket[static_cast<uint32_t>((h - low) >> shift)], 1u);
      }
    }
    below = block_sum<kThreads>(below, s.counts);
    __syncthreads();
    const uint32_t inside = prefix_sums(s);
    if (inside > capacity) {
      step /= 2;
      continue;
    }
    for (uint32_t i = threadIdx.x; i < n; i += kThreads) {
      const uint32_t h = rng::hash(i, seed);
      if (h >= low && h - low < step) {
        s.index[atomicAdd(&s.bucket[static_cast<uint32_t>((h - low) >> shift)], 1u)] = i;
      }
    }
    __syncthreads();
    // Which index of a bucket came first depends on the race above; their order by hash does not.
    for (uint32_t b = threadIdx.x; b < kBuckets; b += kThreads) {
      const uint32_t first = b == 0 ? 0 : s.bucket[b - 1], last = s.bucket[b];
      for (uint32_t i = first + 1; i < last; i++) {
        const uint32_t index = s.index[i], key = rng::hash(index, seed);
        uint32_t j = i;
        for (; j > first && rng::hash(s.index[j - 1], seed) > key; j--) s.index[j] = s.index[j - 1];
        s.index[j] = index;
      }
      for (uint32_t i = first; i < last; i++) visit(below + i, s.index[i]);
    }
    __syncthreads();
    low += step;
  }
}

// How many indices a block's shared memory holds.
uint32_t capacity_of(const Device& device) {
  return static_cast<uint32_t>((device.shared_memory - sizeof(Shared)) / sizeof(uint32_t));
}

// Into how many stretches hash values are divided: the least power of two with which a stretch's
// share of the indices fits into a block's memory, with room for more by chance.
uint32_t stretches(const Device& device, size_t vocab) {
  uint32_t count = 1;
  const auto fits = [&](double share) {
    return share + 8 * std::sqrt(share) <= capacity_of(device);
  };
  while (!fits(static_cast<double>(vocab) / count)) count *= 2;
  return count;
}

// partial [rows, parts + 1]: each stretch's share of the dot product, then the sum of squares.
__global__ void __launch_bounds__(kThreads)
    distance_parts_kernel(uint32_t capacity, const float* logits, size_t stride, uint32_t vocab,
                          const uint32_t* permutation_seeds, const float* target, double* partial) {
  PROOFMILL_DYNAMIC_SHARED(Shared, s);
  const uint32_t parts = gridDim.x - 1, row = blockIdx.y;
  const float* values = logits + static_cast<size_t>(row) * stride;
  double sum = 0.0;
  if (blockIdx.x == parts) {
    for (uint32_t i = threadIdx.x; i < vocab; i += kThreads) {
      sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
  } else {
    const uint64_t width = (uint64_t{1} << 32) / parts;
    visit_stretch(*s, capacity, permutation_seeds[row], vocab, blockIdx.x * width, width,
                  [&](uint32_t rank, uint32_t index) {
                    sum += static_cast<double>(values[index]) * static_cast<double>(target[rank]);
                  });
  }
  sum = block_sum<kThreads>(sum, s->sums);
  if (threadIdx.x == 0) partial[static_cast<size_t>(row) * gridDim.x + blockIdx.x] = sum;
}

// |u - t|^2 = |u|^2 + |t|^2 - 2 u.t with |u| = 1.
__global__ void distance_kernel(const double* partial, uint32_t parts, uint32_t rows,
                                const double* target_norm_squared, float* distances) {
  const uint32_t row = blockIdx.x * kWarp + threadIdx.x;
  if (row >= rows) return;
  const double* own = partial + static_cast<size_t>(row) * (parts + 1);
  double dot = 0.0;
  for (uint32_t i = 0; i < parts; i++) dot += own[i];
  const double squared = 1.0 + *target_norm_squared - 2.0 * dot / sqrt(own[parts]);
  const bool finite = squared - squared == 0.0;
  distances[row] =
      finite ? static_cast<float>(sqrt(squared < 0.0 ? 0.0 : squared)) : rng::float_of(0x7fc00000u);
}

__global__ void __launch_bounds__(kThreads)
    permutation_kernel(uint32_t capacity, const uint32_t* seed, uint32_t n, uint32_t* out) {
  PROOFMILL_DYNAMIC_SHARED(Shared, s);
  const uint64_t width = (uint64_t{1} << 32) / gridDim.x;
  visit_stretch(*s, capacity, *seed, n, blockIdx.x * width, width,
                [&](uint32_t rank, uint32_t index) { out[rank] = index; });
}

// Lets blocks of `kernel` use all shared memory that they may have, and returns its bytes.
template <class Kernel>
size_t shared_bytes(const Device& device, Kernel* kernel) {
  const size_t bytes = sizeof(Shared) + capacity_of(device) * sizeof(uint32_t);
  PROOFMILL_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(bytes)));
  return bytes;
}

}  // namespace

size_t distance_parts(const Device& device, size_t vocab) { return stretches(device, vocab); }

void distances(const Device& device, const float* logits, size_t stride, size_t rows, size_t vocab,
               const uint32_t* permutation_seeds, const float* target,
               const double* target_norm_squared, double* partial, float* distances) {
  const uint32_t parts = stretches(device, vocab);
  const size_t shared = shared_bytes(device, distance_parts_kernel);
  const dim3 grid(parts + 1, static_cast<unsigned>(rows));
  PROOFMILL_LAUNCH(device, distance_parts_kernel, grid, kThreads, shared, capacity_of(device),
                   logits, stride, static_cast<uint32_t>(vocab), permutation_seeds, target,
                   partial);
  PROOFMILL_LAUNCH(device, distance_kernel, static_cast<unsigned>(divide_up(rows, kWarp)),
                   static_cast<int>(kWarp), 0, partial, parts, static_cast<uint32_t>(rows),
                   target_norm_squared, distances);
}

void permutation(const Device& device, const uint32_t* seed, size_t n, uint32_t* out) {
  const size_t shared = shared_bytes(device, permutation_kernel);
  PROOFMILL_LAUNCH(device, permutation_kernel, stretches(device, n), kThreads, shared,
                   capacity_of(device), seed, static_cast<uint32_t>(n), out);
}

}  // namespace proofmill::cuda
