// Causal grouped-query attention in the flash manner: blocks of queries walk over blocks of keys
// with a running maximum and sum, so that scores never leave the chip. On tensor cores in bfloat16,
// in plain float32 arithmetic otherwise.
#include "attention_tile.cuh"
#include "kernels.h"

namespace proofmill::cuda {

namespace {

// What a block of either kernel works on. blockIdx.x counts blocks of queries, beginning with the
// last, which takes longest; blockIdx.y counts heads, blockIdx.z sequences.
struct Place {
  int head, kv_head, sequence;
  int first_query;     // of the block, among the sequence's queries
  int first_position;  // of the sequence's queries
};

template <class T>
__device__ __forceinline__ Place place_of(const AttentionArgs<T>& args, int rows) {
  const int head = static_cast<int>(blockIdx.y);
  return {head, head / (args.heads / args.kv_heads), static_cast<int>(blockIdx.z),
          static_cast<int>(gridDim.x - 1 - blockIdx.x) * rows, args.seq_len - args.queries};
}

// --- bfloat16 ---

constexpr int kWarps = 4;
constexpr int kQueries = 16 * kWarps;  // of a block: 16 rows a warp

// kWidth: head_dim rounded up to the next of the sizes below; kKeys: of a block.
template <int kWidth, int kKeys>
struct Tiles {
  static constexpr int kStride = kTileStride<kWidth>;
  static constexpr int kTile = kKeys * kStride;
  // Two stages of keys and values. Queries are loaded into the second, and read before keys come
  // there.
  static constexpr size_t kBytes = sizeof(bf16) * 4 * kTile;
  static_assert(2 * kTile >= kQueries * kStride, "queries fit into a stage");
};

template <int kWidth, int kKeys>
__global__ void __launch_bounds__(kWarps * 32, kWidth <= 128 ? 3 : 2)
    attention_bf16_kernel(const AttentionArgs<bf16> args) {
  using Shared = Tiles<kWidth, kKeys>;
  constexpr int kStride = Shared::kStride;
  PROOFMILL_DYNAMIC_SHARED(bf16, shared);
  const Place at = place_of(args, kQueries);
  const int head_dim = args.head_dim;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;

  const size_t first_row = static_cast<size_t>(at.sequence) * args.seq_len;
  const size_t column = static_cast<size_t>(at.kv_head) * head_dim;
  const bf16* keys = args.k + first_row * args.kv_stride + column;
  const bf16* values = args.v + first_row * args.kv_stride + column;
  // The block's last query sees this many keys.
  const int last_query =
      at.first_query + kQueries < args.queries ? at.first_query + kQueries - 1 : args.queries - 1;
  const int visible = at.first_position + last_query + 1;
  const int blocks = (visible + kKeys - 1) / kKeys;

  // This thread's part of a 16-row fragment: rows lane / 4 and 8 below, columns lane % 4 * 2, + 1.
  const int row = warp * 16 + lane / 4;
  const int positions[2] = {at.first_position + at.first_query + row,
                            at.first_position + at.first_query + row + 8};
  const float scale = kLog2E / sqrtf(static_cast<float>(head_dim));
  float mixed[kWidth / 16][2][4] = {};
  RunningRows running;

  // Copies come in groups: the queries and the first keys, the first values, the next keys, the
  // next values; so that each is waited for only where it is needed.
  const bf16* q = args.q + static_cast<size_t>(at.sequence) * args.queries * args.q_stride +
                  static_cast<size_t>(at.head) * head_dim;
  bf16* query_tile = shared + 2 * Shared::kTile;
  load_tile<kWidth, kQueries, kWarps * 32>(q + static_cast<size_t>(at.first_query) * args.q_stride,
                                           args.q_stride, args.queries - at.first_query, head_dim,
                                           query_tile);
  const auto copy = [&](const bf16* from, int first_key, bf16* tile) {
    load_tile<kWidth, kKeys, kWarps * 32>(from + static_cast<size_t>(first_key) * args.kv_stride,
                                          args.kv_stride, visible - first_key, head_dim, tile);
    commit_copies();
  };
  copy(keys, 0, shared);
  copy(values, 0, shared + Shared::kTile);
  wait_for_copies<1>();
  __syncthreads();
  uint32_t queries[kWidth / 16][4];
#pragma unroll
  for (int k = 0; k < kWidth / 16; k++) {
    load_matrices(queries[k],
                  query_tile + (warp * 16 + lane % 16) * kStride + k * 16 + lane / 16 * 8);
  }

  for (int block = 0; block < blocks; block++) {
    const int first_key = block * kKeys;
    const bf16* key_tile = shared + block % 2 * 2 * Shared::kTile;
    const bf16* value_tile = key_tile + Shared::kTile;
    wait_for_copies<1>();
    __syncthreads();  // these keys are there, and nobody reads the other stage any more
    if (block + 1 < blocks) {
      bf16* next = shared + (block + 1) % 2 * 2 * Shared::kTile;
      copy(keys, first_key + kKeys, next);
      copy(values, first_key + kKeys, next + Shared::kTile);
    }

    float scores[kKeys / 8][4] = {};
#pragma unroll
    for (int k = 0; k < kWidth / 16; k++) {
      score_tile<kWidth, kKeys>(queries[k], key_tile + k * 16, scores);
    }

    // Only in blocks on the diagonal are there keys that some query may not see.
    if (first_key + kKeys - 1 > at.first_position + at.first_query + warp * 16) {
#pragma unroll
      for (int n = 0; n < kKeys / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int key = first_key + n * 8 + lane % 4 * 2 + i % 2;
          if (key > positions[i / 2]) scores[n][i] = -INFINITY;
        }
      }
    }
    float shrink[2];
    running.add(scores, scale, shrink);
    uint32_t weights[kKeys / 16][4];
    pack_weights<kKeys>(scores, weights);
    if (block + 1 < blocks) {
      wait_for_copies<2>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();  // these values are there
#pragma unroll
    for (int n = 0; n < kWidth / 16; n++) {
      mix_tile<kWidth, kKeys>(weights, value_tile + n * 16, shrink, mixed[n]);
    }
  }

#pragma unroll
  for (int r = 0; r < 2; r++) {
    float sum = running.sums[r];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int query = at.first_query + row + r * 8;
    const float inverse = 1.0f / sum;
    bf16* out = args.out +
                (static_cast<size_t>(at.sequence) * args.queries + query) * args.out_stride +
                static_cast<size_t>(at.head) * head_dim;
    const auto word = [&](int n) {
      const float(&own)[4] = mixed[n / 2][n % 2];
      return pack_bf16(own[2 * r] * inverse, own[2 * r + 1] * inverse);
    };
    if (kWidth % 32 == 0 && head_dim % 8 == 0) {
#pragma unroll
      for (int n = 0; n + 3 < kWidth / 8; n += 4) {
        const uint4 group = gather_group(word(n), word(n + 1), word(n + 2), word(n + 3));
        const int j = (n + lane % 4) * 8;
        if (query < args.queries && j < head_dim) *reinterpret_cast<uint4*>(out + j) = group;
      }
    } else if (query < args.queries) {
#pragma unroll
      for (int n = 0; n < kWidth / 8; n++) {
        const int j = n * 8 + lane % 4 * 2;
        if (j < head_dim) *reinterpret_cast<uint32_t*>(out + j) = word(n);
      }
    }
  }
}

template <int kWidth, int kKeys>
void launch_bf16(const Device& device, const AttentionArgs<bf16>& args) {
  const size_t shared = Tiles<kWidth, kKeys>::kBytes;
  const auto kernel = attention_bf16_kernel<kWidth, kKeys>;
  PROOFMILL_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shared)));
  const dim3 grid(static_cast<unsigned>(divide_up(args.queries, kQueries)),
                  static_cast<unsigned>(args.heads), static_cast<unsigned>(args.sequences));
  PROOFMILL_LAUNCH(device, kernel, grid, kWarps * 32, shared, args);
}

// --- float32 ---

constexpr int kPlainRows = 4;  // of a warp
constexpr int kPlainQueries = kWarps * kPlainRows;
constexpr int kPlainKeys = 32;  // one a lane

__global__ void __launch_bounds__(kWarps * 32)
    attention_f32_kernel(const AttentionArgs<float> args) {
  PROOFMILL_DYNAMIC_SHARED(float, shared);
  const Place at = place_of(args, kPlainQueries);
  const int head_dim = args.head_dim;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  float* queries = shared;                                     // [kPlainQueries, head_dim]
  float* key_tile = queries + kPlainQueries * head_dim;        // [kPlainKeys, head_dim + 1]
  float* value_tile = key_tile + kPlainKeys * (head_dim + 1);  // [kPlainKeys, head_dim]

  const float* q = args.q + static_cast<size_t>(at.sequence) * args.queries * args.q_stride +
                   static_cast<size_t>(at.head) * head_dim;
  for (int r = 0; r < kPlainRows; r++) {
    const int query = at.first_query + warp * kPlainRows + r;
    float* own = queries + (warp * kPlainRows + r) * head_dim;
    for (int j = lane; j < head_dim; j += 32) {
      own[j] = query < args.queries ? q[static_cast<size_t>(query) * args.q_stride + j] : 0.0f;
    }
  }

  const size_t first_row = static_cast<size_t>(at.sequence) * args.seq_len;
  const size_t column = static_cast<size_t>(at.kv_head) * head_dim;
  const float* keys = args.k + first_row * args.kv_stride + column;
  const float* values = args.v + first_row * args.kv_stride + column;
  const int last_query = at.first_query + kPlainQueries < args.queries
                             ? at.first_query + kPlainQueries - 1
                             : args.queries - 1;
  const int visible = at.first_position + last_query + 1;
  const float scale = 1.0f / sqrtf(static_cast<float>(head_dim));
  constexpr int kDims = kMaxHeadDim / 32;  // of a lane
  float mixed[kPlainRows][kDims] = {};
  float highest[kPlainRows], sums[kPlainRows] = {};
  for (int r = 0; r < kPlainRows; r++) highest[r] = -INFINITY;

  for (int first_key = 0; first_key < visible; first_key += kPlainKeys) {
    __syncthreads();  // nobody reads the last tiles any more
    for (int i = static_cast<int>(threadIdx.x); i < kPlainKeys * head_dim; i += kWarps * 32) {
      const int r = i / head_dim, j = i % head_dim;
      const size_t offset = static_cast<size_t>(first_key + r) * args.kv_stride + j;
      const bool inside = first_key + r < visible;
      key_tile[r * (head_dim + 1) + j] = inside ? keys[offset] : 0.0f;
      value_tile[r * head_dim + j] = inside ? values[offset] : 0.0f;
    }
    __syncthreads();
    for (int r = 0; r < kPlainRows; r++) {
      const float* own = queries + (warp * kPlainRows + r) * head_dim;
      const int position = at.first_position + at.first_query + warp * kPlainRows + r;
      float score = 0.0f;
      for (int j = 0; j < head_dim; j++) score += own[j] * key_tile[lane * (head_dim + 1) + j];
      score = first_key + lane <= position ? score * scale : -INFINITY;
      float top = fmaxf(highest[r], score);
      for (int mask = 16; mask > 0; mask /= 2) {
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, mask));
      }
      const float shrink = expf(highest[r] - top), p = expf(score - top);
      highest[r] = top;
      sums[r] = sums[r] * shrink + warp_sum(p);
#pragma unroll
      for (int d = 0; d < kDims; d++) mixed[r][d] *= shrink;
      for (int key = 0; key < kPlainKeys; key++) {
        const float weight = __shfl_sync(kAllLanes, p, key);
#pragma unroll
        for (int d = 0; d < kDims; d++) {
          const int j = lane + d * 32;
          if (j < head_dim) mixed[r][d] += weight * value_tile[key * head_dim + j];
        }
      }
    }
  }

  for (int r = 0; r < kPlainRows; r++) {
    const int query = at.first_query + warp * kPlainRows + r;
    if (query >= args.queries) continue;
    float* out = args.out +
                 (static_cast<size_t>(at.sequence) * args.queries + query) * args.out_stride +
                 static_cast<size_t>(at.head) * head_dim;
#pragma unroll
    for (int d = 0; d < kDims; d++) {
      const int j = lane + d * 32;
      if (j < head_dim) out[j] = mixed[r][d] / sums[r];
    }
  }
}

}  // namespace

void attention(const Device& device, const AttentionArgs<bf16>& args) {
  const int head_dim = args.head_dim;
  if (head_dim <= 16) return launch_bf16<16, 64>(device, args);
  if (head_dim <= 32) return launch_bf16<32, 64>(device, args);
  if (head_dim <= 64) return launch_bf16<64, 64>(device, args);
  if (head_dim <= 80) return launch_bf16<80, 64>(device, args);
  if (head_dim <= 96) return launch_bf16<96, 64>(device, args);
  if (head_dim <= 128) return launch_bf16<128, 64>(device, args);
  return launch_bf16<256, 32>(device, args);
}

void attention(const Device& device, const AttentionArgs<float>& args) {
  const int head_dim = args.head_dim;
  const size_t shared =
      sizeof(float) * (kPlainQueries * head_dim + kPlainKeys * (2 * head_dim + 1));
  PROOFMILL_CUDA(device, cudaFuncSetAttribute(attention_f32_kernel,
                                              cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shared)));
  const dim3 grid(static_cast<unsigned>(divide_up(args.queries, kPlainQueries)),
                  static_cast<unsigned>(args.heads), static_cast<unsigned>(args.sequences));
  PROOFMILL_LAUNCH(device, attention_f32_kernel, grid, kWarps * 32, shared, args);
}

}  // namespace proofmill::cuda
