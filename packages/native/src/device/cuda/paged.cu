// Tokens' embeddings, and their keys and values on the way into pages: a block for each row.
#include "paged_rows.cuh"

namespace proofmill::cuda {

namespace {

constexpr int kTokenThreads = 256;

// kVectors, here and below: rows are whole pieces of 16 bytes, or of the float32 of four numbers.
template <class T, bool kVectors>
__global__ void embed_kernel(const T* table, size_t table_stride, const uint32_t* tokens,
                             uint32_t width, float* x) {
  const T* row = table + tokens[blockIdx.x] * table_stride;
  float* out = x + static_cast<size_t>(blockIdx.x) * width;
  if constexpr (kVectors) {
    for (uint32_t i = threadIdx.x * 4; i < width; i += kTokenThreads * 4) {
      const float4 v = load4(row + i);
      store4(out + i, v.x, v.y, v.z, v.w);
    }
  } else {
    for (uint32_t i = threadIdx.x; i < width; i += kTokenThreads) out[i] = to_float(row[i]);
  }
}

template <bool kVectors>
__global__ void gather_rows_at_kernel(const float* x, uint32_t width, const uint32_t* at,
                                      float* out) {
  const float* row = x + static_cast<size_t>(at[blockIdx.x]) * width;
  float* to = out + static_cast<size_t>(blockIdx.x) * width;
  if constexpr (kVectors) {
    for (uint32_t i = threadIdx.x * 4; i < width; i += kTokenThreads * 4) {
      const float4 v = load4(row + i);
      store4(to + i, v.x, v.y, v.z, v.w);
    }
  } else {
    for (uint32_t i = threadIdx.x; i < width; i += kTokenThreads) to[i] = row[i];
  }
}

// N: what is copied at once, of which `count` are a row's keys, and as many its values; `stride`,
// of rows, counts them too.
template <class N>
__global__ void keep_kv_kernel(const PagedRows rows, const N* keys, size_t stride, uint32_t count,
                               N* cache) {
  const Span* span = span_of(rows, blockIdx.x);
  if (span == nullptr) return;
  const uint32_t position = rows.positions[blockIdx.x];
  const size_t page = rows.blocks[span->first_block + position / kPageTokens];
  N* to = cache + (page * 2 * kPageTokens + position % kPageTokens) * count;
  const N* from = keys + static_cast<size_t>(blockIdx.x) * stride;
  for (uint32_t i = threadIdx.x; i < 2 * count; i += kTokenThreads) {
    to[i < count ? i : kPageTokens * count + i - count] = from[i];
  }
}

}  // namespace

template <class T>
void embed(const Device& device, const T* table, size_t table_stride, const uint32_t* tokens,
           size_t rows, size_t width, float* x) {
  const auto kernel = width % 4 == 0 ? embed_kernel<T, true> : embed_kernel<T, false>;
  PROOFMILL_LAUNCH(device, kernel, static_cast<unsigned>(rows), kTokenThreads, 0, table,
                   table_stride, tokens, static_cast<uint32_t>(width), x);
}

void gather_rows_at(const Device& device, const float* x, size_t width, const uint32_t* at,
                    size_t rows, float* out) {
  const auto kernel = width % 4 == 0 ? gather_rows_at_kernel<true> : gather_rows_at_kernel<false>;
  PROOFMILL_LAUNCH(device, kernel, static_cast<unsigned>(rows), kTokenThreads, 0, x,
                   static_cast<uint32_t>(width), at, out);
}

template <class T>
void keep_kv(const Device& device, const PagedRows& rows, const T* keys, size_t stride,
             size_t kv_width, T* cache) {
  constexpr size_t kEach = 16 / sizeof(T);
  const unsigned grid = static_cast<unsigned>(rows.rows);
  const bool whole =
      kv_width % kEach == 0 && stride % kEach == 0 && reinterpret_cast<uintptr_t>(keys) % 16 == 0;
  if (whole) {
    PROOFMILL_LAUNCH(device, keep_kv_kernel<uint4>, grid, kTokenThreads, 0, rows,
                     reinterpret_cast<const uint4*>(keys), stride / kEach,
                     static_cast<uint32_t>(kv_width / kEach), reinterpret_cast<uint4*>(cache));
  } else {
    PROOFMILL_LAUNCH(device, keep_kv_kernel<T>, grid, kTokenThreads, 0, rows, keys, stride,
                     static_cast<uint32_t>(kv_width), cache);
  }
}

template void embed<bf16>(const Device&, const bf16*, size_t, const uint32_t*, size_t, size_t,
                          float*);
template void embed<float>(const Device&, const float*, size_t, const uint32_t*, size_t, size_t,
                           float*);
template void keep_kv<bf16>(const Device&, const PagedRows&, const bf16*, size_t, size_t, bf16*);
template void keep_kv<float>(const Device&, const PagedRows&, const float*, size_t, size_t, float*);

}  // namespace proofmill::cuda
