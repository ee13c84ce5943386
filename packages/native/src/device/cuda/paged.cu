// Tokens' embeddings, and their keys and values in pages. Plain kernels: a warp for a row's head.
#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

constexpr int kPagedThreads = 256;
constexpr int kPagedWarps = 4;

template <class T>
__global__ void embed_kernel(const T* table, size_t table_stride, const uint32_t* tokens,
                             uint32_t width, float* x) {
  const T* row = table + tokens[blockIdx.x] * table_stride;
  for (uint32_t i = threadIdx.x; i < width; i += kPagedThreads) {
    x[static_cast<size_t>(blockIdx.x) * width + i] = to_float(row[i]);
  }
}

__global__ void gather_rows_at_kernel(const float* x, uint32_t width, const uint32_t* at,
                                      float* out) {
  const float* row = x + static_cast<size_t>(at[blockIdx.x]) * width;
  for (uint32_t i = threadIdx.x; i < width; i += kPagedThreads) {
    out[static_cast<size_t>(blockIdx.x) * width + i] = row[i];
  }
}

// The span that a row belongs to, or null; spans are in the order of their rows.
__device__ __forceinline__ const Span* span_of(const PagedRows& rows, uint32_t row) {
  size_t first = 0, end = rows.num_spans;
  while (first < end) {
    const size_t middle = (first + end) / 2;
    if (rows.spans[middle].first_row + rows.spans[middle].rows <= row) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  const bool inside = first < rows.num_spans && rows.spans[first].first_row <= row;
  return inside ? rows.spans + first : nullptr;
}

// Row `position` of its sequence's keys, [kv_width]; a page's values follow its keys.
template <class T>
__device__ __forceinline__ T* key_at(T* cache, const uint32_t* blocks, uint32_t position,
                                     size_t kv_width) {
  const size_t page = blocks[position / kPageTokens];
  return cache + (page * 2 * kPageTokens + position % kPageTokens) * kv_width;
}

template <class T>
__global__ void keep_kv_kernel(const PagedRows rows, const T* keys, size_t stride,
                               uint32_t kv_width, T* cache) {
  const Span* span = span_of(rows, blockIdx.x);
  if (span == nullptr) return;
  T* to = key_at(cache, rows.blocks + span->first_block, rows.positions[blockIdx.x], kv_width);
  const T* from = keys + static_cast<size_t>(blockIdx.x) * stride;
  for (uint32_t i = threadIdx.x; i < kv_width; i += kPagedThreads) {
    to[i] = from[i];
    to[kPageTokens * kv_width + i] = from[kv_width + i];
  }
}

// One warp for each head of each row; a lane has one key of 32 for scores, and every 32nd dimension
// of what is mixed.
template <class T>
__global__ void __launch_bounds__(kPagedWarps * 32)
    attend_pages_kernel(const PagedAttention<T> of) {
  PROOFMILL_DYNAMIC_SHARED(T, shared);
  const int warp = static_cast<int>(threadIdx.x / kWarp), lane = static_cast<int>(threadIdx.x % 32);
  const uint32_t head = blockIdx.y, row = blockIdx.x * kPagedWarps + static_cast<uint32_t>(warp);
  if (row >= of.rows.rows) return;  // the whole warp
  const Span* span = span_of(of.rows, row);
  if (span == nullptr) return;
  const uint32_t* blocks = of.rows.blocks + span->first_block;
  const uint32_t position = of.rows.positions[row];
  const int head_dim = of.head_dim;
  const size_t kv_width = static_cast<size_t>(of.kv_heads) * head_dim;
  const size_t column =
      static_cast<size_t>(head) / (static_cast<uint32_t>(of.heads / of.kv_heads)) * head_dim;
  T* query = shared + warp * head_dim;
  const T* q = of.q + row * of.q_stride + static_cast<size_t>(head) * head_dim;
  for (int j = lane; j < head_dim; j += 32) query[j] = q[j];
  __syncwarp();

  const float scale = 1.0f / sqrtf(static_cast<float>(head_dim));
  constexpr int kDims = kMaxHeadDim / 32;
  float mixed[kDims] = {};
  float highest = -INFINITY, sum = 0.0f;
  for (uint32_t first = 0; first <= position; first += 32) {
    const uint32_t key = first + static_cast<uint32_t>(lane);
    float score = -INFINITY;
    if (key <= position) {
      const T* k = key_at(of.cache, blocks, key, kv_width) + column;
      score = 0.0f;
      for (int j = 0; j < head_dim; j++) score += to_float(query[j]) * to_float(k[j]);
      score *= scale;
    }
    float top = fmaxf(highest, score);
    for (int mask = 16; mask > 0; mask /= 2) {
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, mask));
    }
    const float shrink = expf(highest - top), p = expf(score - top);
    highest = top;
    sum = sum * shrink + warp_sum(p);
    const float rounded = to_float(from_float<T>(p));
    for (int d = 0; d < kDims; d++) mixed[d] *= shrink;
    for (uint32_t i = 0; i < 32; i++) {
      const float weight = __shfl_sync(kAllLanes, rounded, static_cast<int>(i));
      if (first + i > position) continue;  // the whole warp
      const T* v = key_at(of.cache, blocks, first + i, kv_width) + kPageTokens * kv_width + column;
#pragma unroll
      for (int d = 0; d < kDims; d++) {
        const int j = lane + d * 32;
        if (j < head_dim) mixed[d] += weight * to_float(v[j]);
      }
    }
  }
  T* out = of.out + row * of.out_stride + static_cast<size_t>(head) * head_dim;
#pragma unroll
  for (int d = 0; d < kDims; d++) {
    const int j = lane + d * 32;
    if (j < head_dim) out[j] = from_float<T>(mixed[d] / sum);
  }
}

}  // namespace

template <class T>
void embed(const Device& device, const T* table, size_t table_stride, const uint32_t* tokens,
           size_t rows, size_t width, float* x) {
  PROOFMILL_LAUNCH(device, embed_kernel<T>, static_cast<unsigned>(rows), kPagedThreads, 0, table,
                   table_stride, tokens, static_cast<uint32_t>(width), x);
}

void gather_rows_at(const Device& device, const float* x, size_t width, const uint32_t* at,
                    size_t rows, float* out) {
  PROOFMILL_LAUNCH(device, gather_rows_at_kernel, static_cast<unsigned>(rows), kPagedThreads, 0, x,
                   static_cast<uint32_t>(width), at, out);
}

template <class T>
void keep_kv(const Device& device, const PagedRows& rows, const T* keys, size_t stride,
             size_t kv_width, T* cache) {
  PROOFMILL_LAUNCH(device, keep_kv_kernel<T>, static_cast<unsigned>(rows.rows), kPagedThreads, 0,
                   rows, keys, stride, static_cast<uint32_t>(kv_width), cache);
}

template <class T>
void attend_pages(const Device& device, const PagedAttention<T>& of) {
  const dim3 grid(static_cast<unsigned>(divide_up(of.rows.rows, kPagedWarps)),
                  static_cast<unsigned>(of.heads));
  PROOFMILL_LAUNCH(device, attend_pages_kernel<T>, grid, kPagedWarps * 32,
                   kPagedWarps * of.head_dim * sizeof(T), of);
}

template void embed<bf16>(const Device&, const bf16*, size_t, const uint32_t*, size_t, size_t,
                          float*);
template void embed<float>(const Device&, const float*, size_t, const uint32_t*, size_t, size_t,
                           float*);
template void keep_kv<bf16>(const Device&, const PagedRows&, const bf16*, size_t, size_t, bf16*);
template void keep_kv<float>(const Device&, const PagedRows&, const float*, size_t, size_t, float*);
template void attend_pages<bf16>(const Device&, const PagedAttention<bf16>&);
template void attend_pages<float>(const Device&, const PagedAttention<float>&);

}  // namespace proofmill::cuda
