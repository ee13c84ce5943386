// Attention over pages takes a sequence's keys in chunks of fixed size, counted from its beginning.
// Each chunk has a result of its own, as if there were no other keys, and results are brought
// together in the order of the chunks: by the block that computed them one after another, or, where
// the chunks of a decoding token were shared out among blocks, by one warp for each of its heads.
// Both take the same steps, so that a row's bits follow from its sequence and position alone.
#pragma once

#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

constexpr uint32_t kChunkKeys = 512;
// The most blocks that share out the chunks of a row's head among them.
constexpr size_t kMostSharers = 32;

// Chunks of a sequence of so many tokens.
__host__ __device__ constexpr size_t chunks_of(size_t tokens) {
  return (tokens + kChunkKeys - 1) / kChunkKeys;
}

// The chunks of one row's head, taken together: the greatest score, in powers of 2, and the sum of
// weights. `add` says what is to be taken of what was mixed before, and of what the chunk has
// mixed.
struct ChunkSum {
  float highest = -INFINITY, sum = 0.0f;

  struct Shares {
    float before, now;
    __device__ __forceinline__ float mix(float mixed, float more) const {
      return fmaf(mixed, before, more * now);
    }
  };
  __device__ __forceinline__ Shares add(float top, float part) {
    const float both = fmaxf(highest, top);
    const Shares shares{fast_exp2(highest - both), fast_exp2(top - both)};
    highest = both;
    sum = shares.mix(sum, part);
    return shares;
  }
  // What goes out. Adding 0 makes a zero positive, whatever keys were hidden from the row.
  __device__ __forceinline__ float mean(float mixed) const { return fmaf(mixed, 1.0f / sum, 0.0f); }
};

// Results of chunks that were shared out, for each span, chunk and head: what is mixed, [head_dim],
// then the greatest score and the sum of weights.
template <class T>
__device__ __forceinline__ float* part_at(const PagedAttention<T>& of, size_t span, size_t chunk,
                                          uint32_t head) {
  const size_t at = (span * chunks_of(of.rows.longest) + chunk) * of.heads + head;
  return of.parts + at * (of.head_dim + 2);
}

// A decoding token, whose chunks are shared out: a row alone in its span.
__device__ __forceinline__ bool is_shared_out(const Span& span) {
  return span.rows == 1 && span.position >= kChunkKeys;
}

__device__ __forceinline__ void store2(float* p, float a, float b) {
  *reinterpret_cast<float2*>(p) = make_float2(a, b);
}
__device__ __forceinline__ void store2(bf16* p, float a, float b) {
  *reinterpret_cast<uint32_t*>(p) = pack_bf16(a, b);
}

constexpr int kGatherWarps = 4;

// One warp for each span and head; a lane has two neighbouring dimensions of every 64.
template <class T>
__global__ void __launch_bounds__(kGatherWarps * 32)
    gather_chunks_kernel(const PagedAttention<T> of) {
  const uint32_t task = blockIdx.x * kGatherWarps + threadIdx.x / kWarp;
  const uint32_t heads = static_cast<uint32_t>(of.heads);
  const uint32_t index = task / heads;
  if (index >= of.rows.num_spans) return;
  const Span span = of.rows.spans[index];
  if (!is_shared_out(span)) return;
  const uint32_t head = task % heads;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  constexpr int kSteps = kMaxHeadDim / 64;
  float mixed[kSteps][2] = {};
  ChunkSum all;
  const uint32_t chunks = span.position / kChunkKeys + 1;
#pragma unroll 4
  for (uint32_t chunk = 0; chunk < chunks; chunk++) {
    const float* part = part_at(of, index, chunk, head);
    const ChunkSum::Shares shares = all.add(part[of.head_dim], part[of.head_dim + 1]);
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int j = i * 64 + lane * 2;
      if (j >= of.head_dim) continue;
      const float2 more = *reinterpret_cast<const float2*>(part + j);
      mixed[i][0] = shares.mix(mixed[i][0], more.x);
      mixed[i][1] = shares.mix(mixed[i][1], more.y);
    }
  }
  T* out = of.out + span.first_row * of.out_stride + head * static_cast<uint32_t>(of.head_dim);
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    const int j = i * 64 + lane * 2;
    if (j < of.head_dim) store2(out + j, all.mean(mixed[i][0]), all.mean(mixed[i][1]));
  }
}

template <class T>
void gather_chunks(const Device& device, const PagedAttention<T>& of) {
  if (chunks_of(of.rows.longest) == 1) return;
  const unsigned grid =
      static_cast<unsigned>(divide_up(of.rows.num_spans * of.heads, kGatherWarps));
  PROOFMILL_LAUNCH(device, gather_chunks_kernel<T>, grid, kGatherWarps * 32, 0, of);
}

// How many blocks share out the chunks of each row's head.
inline unsigned sharers(const PagedRows& rows) {
  const size_t chunks = chunks_of(rows.longest);
  return static_cast<unsigned>(chunks < kMostSharers ? chunks : kMostSharers);
}

}  // namespace proofmill::cuda
