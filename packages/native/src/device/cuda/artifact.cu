// Artifacts (docs/protocol-v2.md §1, steps 5 to 7): one block for each nonce. Compiled with
// --fmad=false: normals have the CPU's bits.
#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr int kArtifactThreads = 256;
constexpr uint32_t kDigits = 256;  // values of a byte of a hash

struct ArtifactShared {
  uint32_t counts[kArtifactThreads / 32];
  double sums[2][kArtifactThreads / 32];
  uint32_t digits[kDigits];  // how many of the hashes have this byte
  uint32_t byte, before;     // the byte of the k-th smallest one, and how many have a smaller one
};

// The k-th smallest of the hashes of [0, n), k >= 1, byte by byte from the highest. Hashes never
// tie. Every thread calls it.
__device__ uint32_t kth_smallest(ArtifactShared& s, uint32_t seed, uint32_t n, uint32_t k) {
  uint32_t found = 0, known = 0;  // the bytes so far, and the bits that they are
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (uint32_t i = threadIdx.x; i < kDigits; i += kArtifactThreads) s.digits[i] = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < n; i += kArtifactThreads) {
      const uint32_t h = rng::hash(i, seed);
      if ((h & known) == found) atomicAdd(&s.digits[(h >> shift) & 0xffu], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      uint32_t before = 0, byte = 0;
      while (before + s.digits[byte] < k) before += s.digits[byte++];
      s.byte = byte;
      s.before = before;
    }
    __syncthreads();
    found |= s.byte << shift;
    known |= 0xffu << shift;
    k -= s.before;
    __syncthreads();  // before the next round clears what was read here
  }
  return found;
}

// How many threads before this one have `mine` set, and in `all` how many have; every thread calls
// it.
__device__ uint32_t count_before(ArtifactShared& s, bool mine, uint32_t* all) {
  uint32_t through = mine ? 1u : 0u;
  for (unsigned delta = 1; delta < kWarp; delta *= 2) {
    const uint32_t other = __shfl_up_sync(kAllLanes, through, delta);
    if (threadIdx.x % kWarp >= delta) through += other;
  }
  if (threadIdx.x % kWarp == kWarp - 1) s.counts[threadIdx.x / kWarp] = through;
  __syncthreads();
  uint32_t before = through - (mine ? 1u : 0u);
  *all = 0;
  for (uint32_t warp = 0; warp < kArtifactThreads / 32; warp++) {
    if (warp < threadIdx.x / kWarp) before += s.counts[warp];
    *all += s.counts[warp];
  }
  __syncthreads();
  return before;
}

// x [k] = the picked numbers of hidden [n]: those with the k - 1 smallest hashes by their indices,
// then the one with the k-th.
__device__ void pick(ArtifactShared& s, const float* hidden, uint32_t n, uint32_t k, uint32_t seed,
                     float* x) {
  const uint32_t last = kth_smallest(s, seed, n, k);
  uint32_t begin = 0;
  for (uint32_t first = 0; first < n; first += kArtifactThreads) {
    const uint32_t i = first + threadIdx.x;
    const uint32_t h = i < n ? rng::hash(i, seed) : 0xffffffffu;
    const bool picked = i < n && h < last;
    uint32_t all;
    const uint32_t before = count_before(s, picked, &all);
    if (picked) x[begin + before] = hidden[i];
    if (i < n && h == last) x[k - 1] = hidden[i];
    begin += all;
  }
  __syncthreads();
}

// Calls visit(i, normal i) for this thread's numbers of a stream of n, the same ones each time.
template <class Visit>
__device__ __forceinline__ void visit_normals(uint32_t seed, uint32_t n, Visit&& visit) {
  const uint32_t pairs = (n + 1) / 2;
  for (uint32_t j = threadIdx.x; j < pairs; j += kArtifactThreads) {
    const rng::SinCos pair = rng::normal_pair(rng::uniform(rng::hash(j, seed)),
                                              rng::uniform(rng::hash(j + pairs, seed)));
    visit(j, pair.cos);
    if (j + pairs < n) visit(j + pairs, pair.sin);
  }
}

// x -= 2 (x . v) v, v being the n normals of the seed divided by their norm.
__device__ void reflect(ArtifactShared& s, uint32_t seed, uint32_t n, float* x) {
  double squares = 0.0, along = 0.0;
  visit_normals(seed, n, [&](uint32_t i, float v) {
    squares += static_cast<double>(v) * v;
    along += static_cast<double>(v) * x[i];
  });
  squares = block_sum<kArtifactThreads>(squares, s.sums[0]);
  along = block_sum<kArtifactThreads>(along, s.sums[1]);
  const double length = sqrt(squares) + 1e-30;
  const double factor = 2.0 * along / (length * length);
  visit_normals(seed, n,
                [&](uint32_t i, float v) { x[i] = static_cast<float>(x[i] - factor * v); });
  __syncthreads();
}

__device__ double norm_of(ArtifactShared& s, const float* x, uint32_t n) {
  double squares = 0.0;
  for (uint32_t i = threadIdx.x; i < n; i += kArtifactThreads) {
    squares += static_cast<double>(x[i]) * x[i];
  }
  squares = block_sum<kArtifactThreads>(squares, s.sums[0]);
  __syncthreads();
  return sqrt(squares);
}

__global__ void __launch_bounds__(kArtifactThreads)
    artifacts_kernel(const float* hidden, uint32_t n, uint32_t k, const uint32_t* pick_seeds,
                     const uint32_t* rotation_seeds, float* out) {
  __shared__ ArtifactShared s;
  const uint32_t row = blockIdx.x;
  const float* own = hidden + static_cast<size_t>(row) * n;
  float* x = out + static_cast<size_t>(row) * k;
  const double length = norm_of(s, own, n) + 1e-8;
  pick(s, own, n, k, pick_seeds[row], x);
  for (uint32_t i = threadIdx.x; i < k; i += kArtifactThreads)
    x[i] = static_cast<float>(x[i] / length);
  __syncthreads();
  for (uint32_t j = 0; j + 1 < k; j++) {
    reflect(s, rotation_seeds[static_cast<size_t>(row) * (k - 1) + j], k, x);
  }
  const double last = norm_of(s, x, k) + 1e-8;
  // NaN or infinite anywhere: no difference to itself is 0 then.
  const bool finite = length - length == 0.0 && last - last == 0.0;
  for (uint32_t i = threadIdx.x; i < k; i += kArtifactThreads) {
    x[i] = finite ? static_cast<float>(x[i] / last) : rng::float_of(0x7fc00000u);
  }
}

}  // namespace

void artifacts(const Device& device, const ProofOps::Artifacts& of, float* out) {
  PROOFMILL_LAUNCH(device, artifacts_kernel, static_cast<unsigned>(of.rows), kArtifactThreads, 0,
                   of.hidden, static_cast<uint32_t>(of.hidden_size), static_cast<uint32_t>(of.k),
                   of.pick_seeds, of.rotation_seeds, out);
}

}  // namespace proofmill::cuda
