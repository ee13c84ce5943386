// Attention over pages in bfloat16, on tensor cores.
//
// Heads that share keys and values are taken together: a block works on pairs of a row and a head
// of one group, of one span. Where there are many of them, each warp has 16 pairs of its own. Where
// there are 16 or fewer, as with decoding tokens, all warps work on the same 16: each has a part of
// the keys while scores are made, and then a part of the dimensions that are mixed, so that every
// number is computed as by a warp alone.
#include "attention_tile.cuh"
#include "paged_chunks.cuh"

namespace proofmill::cuda {

namespace {

constexpr int kPageWarps = 4;
constexpr int kPageThreads = kPageWarps * 32;

// kWidth: head_dim rounded up to the next of the sizes that there are; kKeys: of a tile.
template <int kWidth, int kKeys>
struct PageTiles {
  static constexpr int kPairs = kWidth <= 128 ? 16 * kPageWarps : 16;  // of a block, at most
  static constexpr int kTile = kKeys * kTileStride<kWidth>;
  static constexpr int kScoresStride = kKeys + 8;
  // Two stages of keys and values, and behind them either the scores of pairs that warps work on
  // together, or what each thread holds of its warp's queries, for which it has no registers.
  static constexpr size_t kScoresBytes = sizeof(float) * 16 * kScoresStride;
  static constexpr size_t kQueryBytes = kPairs > 16 ? kPageThreads* kWidth : 0;
  static constexpr size_t kBytes =
      sizeof(bf16) * 4 * kTile + (kScoresBytes > kQueryBytes ? kScoresBytes : kQueryBytes);
};

// What a block works on: pairs [first_pair, end_pair) of a span; pair p is row p / group of the
// span, and head p % group of the group. There are no pairs where there is nothing to do.
struct PageWork {
  Span span;
  uint32_t index;  // of the span
  uint32_t group, first_pair, end_pair;

  __device__ __forceinline__ uint32_t position(uint32_t pair) const {
    return span.position + pair / group;
  }
  // Keys that its last pair sees, and with them all the others.
  __device__ __forceinline__ uint32_t keys() const { return position(end_pair - 1) + 1; }
};

// A span's first block: a span before it that does not end with a block's last pair takes at most
// one block more than its share.
__device__ __forceinline__ uint32_t first_block_of(const Span& span, uint32_t index, uint32_t group,
                                                   uint32_t pairs) {
  return index + span.first_row * group / pairs;
}

// By a whole warp.
__device__ __forceinline__ PageWork work_of(const PagedRows& rows, uint32_t group, uint32_t pairs) {
  // Lanes look at all spans at once: it is the last one that begins no later than this block.
  uint32_t begun = 0;
  for (uint32_t i = threadIdx.x % kWarp; i < rows.num_spans; i += kWarp) {
    begun += first_block_of(rows.spans[i], i, group, pairs) <= blockIdx.x;
  }
  begun = warp_sum(begun);
  PageWork work{};
  if (begun == 0) return work;
  work.index = begun - 1;
  work.group = group;
  work.span = rows.spans[work.index];
  const uint32_t all = work.span.rows * group;
  const uint32_t first = (blockIdx.x - first_block_of(work.span, work.index, group, pairs)) * pairs;
  if (first >= all) return work;
  work.first_pair = first;
  work.end_pair = first + pairs < all ? first + pairs : all;
  return work;
}

// kTogether: all warps work on the same 16 pairs.
template <int kWidth, int kKeys, bool kTogether>
__device__ __forceinline__ void attend(const PagedAttention<bf16>& of, const PageWork& work,
                                       bf16* shared) {
  using Tiles = PageTiles<kWidth, kKeys>;
  constexpr int kUnits = kWidth / 16;  // of 16 dimensions
  constexpr int kOwnUnits = kTogether ? kUnits / kPageWarps : kUnits;
  static_assert(kUnits % kPageWarps == 0, "each warp has as many");
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int head_dim = of.head_dim;
  const size_t kv_width = static_cast<size_t>(of.kv_heads) * head_dim;
  const size_t column = static_cast<size_t>(blockIdx.y) * head_dim;
  const uint32_t end = work.keys();
  const auto unit_of = [&](int own) { return kTogether ? warp + own * kPageWarps : own; };

  const uint32_t warps_pair = work.first_pair + (kTogether ? 0 : warp * 16);
  const bool has_pairs = warps_pair < work.end_pair;
  // This lane's two pairs; of those past the end nothing is kept.
  const auto pair_of = [&](int r) { return warps_pair + static_cast<uint32_t>(lane / 4 + r * 8); };
  const auto offset_of = [&](uint32_t pair, size_t stride) {
    const uint32_t head = blockIdx.y * work.group + pair % work.group;
    return (work.span.first_row + pair / work.group) * stride +
           head * static_cast<size_t>(head_dim);
  };

  // Tiles of keys follow each other to the chunk's end, and then in the next chunk of this block.
  const bool shared_out = is_shared_out(work.span);
  const uint32_t skipped = shared_out ? (gridDim.z - 1) * kChunkKeys : 0;
  const auto after = [&](uint32_t key) {
    key += kKeys;
    return key % kChunkKeys == 0 ? key + skipped : key;
  };
  const uint32_t* pages = of.rows.blocks + work.span.first_block;
  const auto page_of = [&](uint32_t key) { return key < end ? pages[key / kPageTokens] : 0; };
  // Copies come in groups: a tile's keys, its values; so that each is waited for only where it is
  // needed. There are as many groups where no tile is left.
  const auto copy = [&](uint32_t key, uint32_t page, int stage) {
    const bf16* from = of.cache + (page * 2 * kPageTokens + key % kPageTokens) * kv_width + column;
    bf16* tile = shared + stage * 2 * Tiles::kTile;
    const int seen = key < end ? static_cast<int>(end - key) : 0;
    if (seen > 0) load_tile<kWidth, kKeys, kPageThreads>(from, kv_width, seen, head_dim, tile);
    commit_copies();
    if (seen > 0) {
      load_tile<kWidth, kKeys, kPageThreads>(from + kPageTokens * kv_width, kv_width, seen,
                                             head_dim, tile + Tiles::kTile);
    }
    commit_copies();
  };
  uint32_t key = shared_out ? blockIdx.z * kChunkKeys : 0;
  if (key >= end) return;
  uint32_t next = after(key), next_page = page_of(next);
  copy(key, page_of(key), 0);
  copy(next, next_page, 1);
  next_page = page_of(after(next));

  uint32_t queries[kUnits][4];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const uint32_t pair = pair_of(r);
    const bf16* q = of.q + offset_of(pair, of.q_stride);
#pragma unroll
    for (int i = 0; i < kUnits * 2; i++) {
      const int j = i * 8 + lane % 4 * 2;
      const bool wanted = pair < work.end_pair && j < head_dim;
      queries[i / 2][i % 2 * 2 + r] =
          wanted ? read_only(reinterpret_cast<const uint32_t*>(q + j)) : 0;
    }
  }

  uint4* own_queries = reinterpret_cast<uint4*>(shared + 4 * Tiles::kTile) + threadIdx.x;
  if constexpr (!kTogether) {
#pragma unroll
    for (int k = 0; k < kUnits; k++) {
      own_queries[k * kPageThreads] =
          make_uint4(queries[k][0], queries[k][1], queries[k][2], queries[k][3]);
    }
  }

  const float scale = kLog2E / sqrtf(static_cast<float>(head_dim));
  float* exchanged = reinterpret_cast<float*>(shared + 4 * Tiles::kTile);
  float mixed[kOwnUnits][2][4] = {}, all_mixed[kOwnUnits][2][4] = {};
  RunningRows chunk;
  ChunkSum all[2];

  for (int tile = 0; key < end; tile++) {
    const bf16* key_tile = shared + tile % 2 * 2 * Tiles::kTile;
    const bf16* value_tile = key_tile + Tiles::kTile;
    if (tile == 0) {
      wait_for_copies<3>();
    } else {
      wait_for_copies<1>();
    }
    __syncthreads();  // these keys are there, and nobody reads the other stage any more
    if (tile > 0) {
      copy(next, next_page, (tile + 1) % 2);
      next_page = page_of(after(next));
    }

    float scores[kKeys / 8][4] = {};
    if constexpr (kTogether) {
      if (warp < kKeys / 16) {
        float own[2][4] = {};
        const bf16* own_keys = key_tile + warp * 16 * kTileStride<kWidth>;
#pragma unroll
        for (int k = 0; k < kUnits; k++) {
          score_tile<kWidth, 16>(queries[k], own_keys + k * 16, own);
        }
#pragma unroll
        for (int n = 0; n < 2; n++) {
          float* to =
              exchanged + lane / 4 * Tiles::kScoresStride + warp * 16 + n * 8 + lane % 4 * 2;
          store2(to, own[n][0], own[n][1]);
          store2(to + 8 * Tiles::kScoresStride, own[n][2], own[n][3]);
        }
      }
    } else if (has_pairs) {
#pragma unroll
      for (int k = 0; k < kUnits; k++) {
        const uint4 four = own_queries[k * kPageThreads];
        score_tile<kWidth, kKeys>({four.x, four.y, four.z, four.w}, key_tile + k * 16, scores);
      }
    }
    wait_for_copies<2>();
    __syncthreads();  // these values are there, and the scores that are exchanged
    if (has_pairs) {
      if constexpr (kTogether) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; n++) {
          const float* from = exchanged + lane / 4 * Tiles::kScoresStride + n * 8 + lane % 4 * 2;
#pragma unroll
          for (int r = 0; r < 2; r++) {
            const float2 two =
                *reinterpret_cast<const float2*>(from + r * 8 * Tiles::kScoresStride);
            scores[n][2 * r] = two.x;
            scores[n][2 * r + 1] = two.y;
          }
        }
      }
      if (key + kKeys > work.position(warps_pair) + 1) {
        const uint32_t positions[2] = {work.position(pair_of(0)), work.position(pair_of(1))};
#pragma unroll
        for (int n = 0; n < kKeys / 8; n++) {
#pragma unroll
          for (int i = 0; i < 4; i++) {
            const uint32_t own = key + static_cast<uint32_t>(n * 8 + lane % 4 * 2 + i % 2);
            if (own > positions[i / 2]) scores[n][i] = -INFINITY;
          }
        }
      }
      float shrink[2];
      uint32_t weights[kKeys / 16][4];
      chunk.add(scores, scale, shrink);
      pack_weights<kKeys>(scores, weights);
#pragma unroll
      for (int u = 0; u < kOwnUnits; u++) {
        mix_tile<kWidth, kKeys>(weights, value_tile + unit_of(u) * 16, shrink, mixed[u]);
      }
    }

    const bool ends_chunk = next % kChunkKeys == 0 || next >= end;
    if (ends_chunk && has_pairs) {
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float sum = chunk.sums[r];
        sum += __shfl_xor_sync(kAllLanes, sum, 1);
        sum += __shfl_xor_sync(kAllLanes, sum, 2);
        const float top = chunk.highest[r] * scale;
        if (!shared_out) {
          const ChunkSum::Shares shares = all[r].add(top, sum);
#pragma unroll
          for (int u = 0; u < kOwnUnits; u++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
              float& to = all_mixed[u][i / 2][2 * r + i % 2];
              to = shares.mix(to, mixed[u][i / 2][2 * r + i % 2]);
            }
          }
        } else if (pair_of(r) < work.end_pair) {
          const uint32_t head = blockIdx.y * work.group + pair_of(r);
          float* part = part_at(of, work.index, key / kChunkKeys, head);
#pragma unroll
          for (int u = 0; u < kOwnUnits; u++) {
#pragma unroll
            for (int n = 0; n < 2; n++) {
              const int j = unit_of(u) * 16 + n * 8 + lane % 4 * 2;
              if (j < head_dim) store2(part + j, mixed[u][n][2 * r], mixed[u][n][2 * r + 1]);
            }
          }
          if (lane % 4 == 0 && unit_of(0) == 0) store2(part + head_dim, top, sum);
        }
      }
      chunk = {};
#pragma unroll
      for (int u = 0; u < kOwnUnits; u++) {
#pragma unroll
        for (int i = 0; i < 8; i++) mixed[u][i / 4][i % 4] = 0.0f;
      }
    }
    key = next;
    next = after(next);
  }
  if (shared_out) return;

#pragma unroll
  for (int r = 0; r < 2; r++) {
    if (pair_of(r) >= work.end_pair) continue;
    bf16* out = of.out + offset_of(pair_of(r), of.out_stride);
#pragma unroll
    for (int u = 0; u < kOwnUnits; u++) {
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int j = unit_of(u) * 16 + n * 8 + lane % 4 * 2;
        const float(&own)[4] = all_mixed[u][n];
        if (j < head_dim) store2(out + j, all[r].mean(own[2 * r]), all[r].mean(own[2 * r + 1]));
      }
    }
  }
}

// blockIdx.x counts pieces of spans, y heads of keys and values, z those that share out chunks.
template <int kWidth, int kKeys>
__global__ void __launch_bounds__(kPageThreads, 2)
    attend_pages_kernel(const PagedAttention<bf16> of) {
  using Tiles = PageTiles<kWidth, kKeys>;
  PROOFMILL_DYNAMIC_SHARED(bf16, shared);
  __shared__ PageWork work;  // in shared memory, since registers are few
  if (threadIdx.x < kWarp) {
    const PageWork found =
        work_of(of.rows, static_cast<uint32_t>(of.heads / of.kv_heads), Tiles::kPairs);
    if (threadIdx.x == 0) work = found;
  }
  __syncthreads();
  if (work.end_pair == 0 || (blockIdx.z > 0 && !is_shared_out(work.span))) return;
  if (Tiles::kPairs == 16 || work.end_pair - work.first_pair <= 16) {
    attend<kWidth, kKeys, true>(of, work, shared);
  } else if constexpr (Tiles::kPairs > 16) {
    attend<kWidth, kKeys, false>(of, work, shared);
  }
}

template <int kWidth, int kKeys>
void launch(const Device& device, const PagedAttention<bf16>& of) {
  using Tiles = PageTiles<kWidth, kKeys>;
  const auto kernel = attend_pages_kernel<kWidth, kKeys>;
  PROOFMILL_CUDA(device, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(Tiles::kBytes)));
  const size_t group = static_cast<size_t>(of.heads / of.kv_heads);
  const dim3 grid(static_cast<unsigned>(of.rows.num_spans + of.rows.rows * group / Tiles::kPairs),
                  static_cast<unsigned>(of.kv_heads), sharers(of.rows));
  PROOFMILL_LAUNCH(device, kernel, grid, kPageThreads, Tiles::kBytes, of);
}

}  // namespace

size_t attend_pages_parts(const PagedRows& rows, size_t heads, size_t head_dim) {
  const size_t chunks = chunks_of(rows.longest);
  if (chunks == 1) return 0;
  // Sequences grow token by token: memory for them grows in powers of 2.
  size_t count = 1;
  while (count < rows.num_spans * chunks * heads * (head_dim + 2)) count *= 2;
  return count;
}

template <>
void attend_pages(const Device& device, const PagedAttention<bf16>& of) {
  if (of.head_dim <= 64) {
    launch<64, 64>(device, of);
  } else if (of.head_dim <= 128) {
    launch<128, 64>(device, of);
  } else {
    launch<256, 32>(device, of);
  }
  gather_chunks(device, of);
}

}  // namespace proofmill::cuda
