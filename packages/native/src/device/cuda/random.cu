// Inputs (docs/protocol.md §1, steps 2 to 5) and random weights. Compiled with --fmad=false: the
// bits are those of the CPU.
#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr unsigned kRandomThreads = 256;

template <class T>
__device__ __forceinline__ float rounded(float x) {
  return to_float(from_float<T>(x));
}

// One thread a pair of normals; blockIdx.y is the seed. Numbers of a stream, and of a sequence.
template <class T>
__global__ void inputs_kernel(const uint32_t* seeds, uint32_t streams, uint32_t stream_numbers,
                              uint32_t numbers, float* x) {
  const uint32_t first = blockIdx.y % streams * stream_numbers;
  if (first >= numbers) return;
  const uint32_t n = numbers - first < stream_numbers ? numbers - first : stream_numbers;
  const uint32_t pairs = (n + 1) / 2;
  const uint32_t j = blockIdx.x * kRandomThreads + threadIdx.x;
  if (j >= pairs) return;
  const uint32_t seed = seeds[blockIdx.y];
  float* out = x + static_cast<size_t>(blockIdx.y / streams) * numbers + first;
  const rng::SinCos pair =
      rng::normal_pair(rng::uniform(rng::hash(j, seed)), rng::uniform(rng::hash(j + pairs, seed)));
  out[j] = rounded<T>(pair.cos);
  if (j + pairs < n) out[j + pairs] = rounded<T>(pair.sin);
}

template <class T>
__global__ void random_weights_kernel(uint32_t seed, size_t begin, size_t count, T* out) {
  const size_t i = static_cast<size_t>(blockIdx.x) * kRandomThreads + threadIdx.x;
  if (i >= count) return;
  const uint32_t h = rng::hash(static_cast<uint32_t>(begin + i), seed);
  out[i] = from_float<T>((rng::uniform(h) - 0.5f) * 0.0692820323f);
}

}  // namespace

template <class T>
void inputs(const Device& device, const ProofOps::Inputs& of, float* x) {
  const size_t each = of.stream_numbers();
  const dim3 grid(static_cast<unsigned>(divide_up((each + 1) / 2, kRandomThreads)),
                  static_cast<unsigned>(of.sequences * of.streams));
  PROOFMILL_LAUNCH(device, inputs_kernel<T>, grid, kRandomThreads, 0, of.seeds,
                   static_cast<uint32_t>(of.streams), static_cast<uint32_t>(each),
                   static_cast<uint32_t>(of.numbers_each), x);
}

template <class T>
void random_weights(const Device& device, uint32_t seed, size_t begin, size_t count, T* out) {
  if (count == 0) return;
  PROOFMILL_LAUNCH(device, random_weights_kernel<T>,
                   static_cast<unsigned>(divide_up(count, kRandomThreads)), kRandomThreads, 0, seed,
                   begin, count, out);
}

template void inputs<bf16>(const Device&, const ProofOps::Inputs&, float*);
template void inputs<float>(const Device&, const ProofOps::Inputs&, float*);
template void random_weights<bf16>(const Device&, uint32_t, size_t, size_t, bf16*);
template void random_weights<float>(const Device&, uint32_t, size_t, size_t, float*);

}  // namespace proofmill::cuda
