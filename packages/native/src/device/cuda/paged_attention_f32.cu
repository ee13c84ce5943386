// Attention over pages in plain float32 arithmetic: a block for a row's head, whose warps take
// turns with the pages of a chunk.
#include "paged_chunks.cuh"
#include "paged_rows.cuh"

namespace proofmill::cuda {

namespace {

constexpr int kPlainPageWarps = 4;
constexpr int kPlainPageThreads = kPlainPageWarps * 32;
static_assert(kPlainPageThreads * 2 >= kMaxHeadDim, "a thread has two dimensions at the end");

// Neighbours that are read at once.
template <int kCount>
struct alignas(kCount * sizeof(float)) Floats {
  float at[kCount];
};

// kEach: numbers that a lane reads at once; head_dim is a multiple of it.
template <int kEach>
__global__ void __launch_bounds__(kPlainPageThreads)
    attend_pages_f32_kernel(const PagedAttention<float> of) {
  __shared__ float weights[kPlainPageWarps][kPageTokens];
  __shared__ float results[kPlainPageWarps][kMaxHeadDim + 2];
  const uint32_t row = blockIdx.x;
  const int head = static_cast<int>(blockIdx.y), head_dim = of.head_dim;
  const Span* span = span_of(of.rows, row);
  if (span == nullptr) return;
  const bool shared_out = is_shared_out(*span);
  if (blockIdx.z > 0 && !shared_out) return;
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const uint32_t* pages = of.rows.blocks + span->first_block;
  const uint32_t end = of.rows.positions[row] + 1;
  const size_t kv_width = static_cast<size_t>(of.kv_heads) * head_dim;
  const size_t column = static_cast<size_t>(head / (of.heads / of.kv_heads)) * head_dim;

  // Eight lanes make a score together; a lane mixes dimensions lane * kEach and those after it.
  constexpr int kScoreSteps = kMaxHeadDim / (8 * kEach), kMixSteps = kMaxHeadDim / (32 * kEach);
  const int first = lane % 8 * kEach;
  const float* q = of.q + row * of.q_stride + static_cast<size_t>(head) * head_dim;
  Floats<kEach> query[kScoreSteps] = {};
#pragma unroll
  for (int i = 0; i < kScoreSteps; i++) {
    const int j = first + i * 8 * kEach;
    if (j < head_dim) query[i] = *reinterpret_cast<const Floats<kEach>*>(q + j);
  }

  const float scale = 1.44269504f / sqrtf(static_cast<float>(head_dim));
  const int own = static_cast<int>(threadIdx.x) * 2;  // dimensions of this thread at a chunk's end
  float all_mixed[2] = {};
  ChunkSum all;
  const uint32_t step = shared_out ? gridDim.z : 1;
  for (uint32_t chunk = shared_out ? blockIdx.z : 0; chunk * kChunkKeys < end; chunk += step) {
    Floats<kEach> mixed[kMixSteps] = {};
    float highest = -INFINITY, sum = 0.0f;
    for (uint32_t tile = chunk * kChunkKeys + static_cast<uint32_t>(warp) * kPageTokens;
         tile < end && tile < (chunk + 1) * kChunkKeys; tile += kPlainPageWarps * kPageTokens) {
      const float* keys =
          of.cache + static_cast<size_t>(pages[tile / kPageTokens]) * 2 * kPageTokens * kv_width +
          column;
      const float* values = keys + kPageTokens * kv_width;
      const uint32_t count = end - tile < kPageTokens ? end - tile : kPageTokens;
      for (uint32_t at = static_cast<uint32_t>(lane / 8); at < kPageTokens; at += 4) {
        float score = 0.0f;
        if (at < count) {
#pragma unroll
          for (int i = 0; i < kScoreSteps; i++) {
            const int j = first + i * 8 * kEach;
            if (j >= head_dim) continue;
            const auto k = *reinterpret_cast<const Floats<kEach>*>(keys + at * kv_width + j);
#pragma unroll
            for (int e = 0; e < kEach; e++) score += query[i].at[e] * k.at[e];
          }
        }
        for (int mask = 4; mask > 0; mask /= 2) score += __shfl_xor_sync(kAllLanes, score, mask);
        if (lane % 8 == 0) weights[warp][at] = at < count ? score * scale : -INFINITY;
      }
      __syncwarp();
      float two[2] = {weights[warp][lane], weights[warp][lane + 32]};
      float top = fmaxf(highest, fmaxf(two[0], two[1]));
      for (int mask = 16; mask > 0; mask /= 2) {
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, mask));
      }
      const float shrink = exp2f(highest - top);
      highest = top;
      for (float& x : two) x = exp2f(x - top);
      sum = sum * shrink + warp_sum(two[0] + two[1]);
      weights[warp][lane] = two[0];
      weights[warp][lane + 32] = two[1];
      __syncwarp();
#pragma unroll
      for (int i = 0; i < kMixSteps; i++) {
        const int j = (lane + i * 32) * kEach;
        if (j >= head_dim) continue;
#pragma unroll
        for (int e = 0; e < kEach; e++) mixed[i].at[e] *= shrink;
#pragma unroll 8
        for (uint32_t at = 0; at < count; at++) {
          const float weight = weights[warp][at];
          const auto v = *reinterpret_cast<const Floats<kEach>*>(values + at * kv_width + j);
#pragma unroll
          for (int e = 0; e < kEach; e++) mixed[i].at[e] += weight * v.at[e];
        }
      }
      __syncwarp();  // before the next scores
    }

    // The warps' results, in their order; a warp that had no page takes no part.
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kMixSteps; i++) {
      const int j = (lane + i * 32) * kEach;
#pragma unroll
      for (int e = 0; e < kEach; e++) {
        if (j < head_dim) results[warp][j + e] = mixed[i].at[e];
      }
    }
    if (lane == 0) {
      results[warp][head_dim] = highest;
      results[warp][head_dim + 1] = sum;
    }
    __syncthreads();
    if (own >= head_dim) continue;
    ChunkSum warps;
    float together[2] = {};
    for (int w = 0; w < kPlainPageWarps; w++) {
      const auto shares = warps.add(results[w][head_dim], results[w][head_dim + 1]);
      for (int e = 0; e < 2; e++) together[e] = shares.mix(together[e], results[w][own + e]);
    }
    if (shared_out) {
      float* part = part_at(of, static_cast<size_t>(span - of.rows.spans), chunk, blockIdx.y);
      store2(part + own, together[0], together[1]);
      if (own == 0) store2(part + head_dim, warps.highest, warps.sum);
    } else {
      const auto shares = all.add(warps.highest, warps.sum);
      for (int e = 0; e < 2; e++) all_mixed[e] = shares.mix(all_mixed[e], together[e]);
    }
  }
  if (shared_out || own >= head_dim) return;
  float* out = of.out + row * of.out_stride + static_cast<size_t>(head) * head_dim;
  store2(out + own, all.mean(all_mixed[0]), all.mean(all_mixed[1]));
}

}  // namespace

template <>
void attend_pages(const Device& device, const PagedAttention<float>& of) {
  const auto kernel =
      of.head_dim % 4 == 0 ? attend_pages_f32_kernel<4> : attend_pages_f32_kernel<2>;
  const dim3 grid(static_cast<unsigned>(of.rows.rows), static_cast<unsigned>(of.heads),
                  sharers(of.rows));
  PROOFMILL_LAUNCH(device, kernel, grid, kPlainPageThreads, 0, of);
  gather_chunks(device, of);
}

}  // namespace proofmill::cuda
