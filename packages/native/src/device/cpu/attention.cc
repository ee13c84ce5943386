#include "kernels_isa.h"
#include "norm_rope.h"
#include "tile.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

constexpr size_t round_up(size_t n) { return (n + kPanel - 1) / kPanel * kPanel; }

// Attention of one head, with queries and weights as left operands, keys and values as right ones.
template <class Operands>
class Attention {
 public:
  explicit Attention(const AttentionHead& head)
      : head_(head),
        keys_(round_up(head.seq_len)),
        width_(round_up(head.head_dim)),
        key_steps_(steps(head.head_dim)),
        value_steps_(steps(head.seq_len)),
        packed_keys_(reinterpret_cast<B*>(head.scratch)),
        packed_values_(packed_keys_ + keys_ * key_steps_),
        scores_(reinterpret_cast<float*>(packed_values_ + width_ * value_steps_)),
        mixed_(scores_ + kTileRows * keys_),
        rows_(mixed_ + kTileRows * width_) {}

  void run() {
    pack_keys();
    pack_values();
    for (size_t g = 0; g < head_.group; g++) {
      for (size_t row = 0; row < head_.queries; row += kTileRows) {
        if (head_.cut.made()) return;
        attend(g, row, head_.queries - row < kTileRows ? head_.queries - row : kTileRows);
      }
    }
  }

 private:
  using A = typename Operands::A;
  using B = typename Operands::B;

  // Rows that are asked for ahead: the norms of so many take a few hundred cycles, as memory does.
  static constexpr size_t kAhead = 12;

  static size_t steps(size_t depth) { return (depth + Operands::kStep - 1) / Operands::kStep; }

  // Asks memory for a head's part of the row that stands `ahead` rows further, if it is before
  // `end`. Rows lie too far apart for a CPU to prefetch them by itself.
  void prefetch(const float* rows, size_t stride, size_t row, size_t ahead, size_t end) const {
    constexpr size_t kLine = 64 / sizeof(float);
    if (row + ahead >= end) return;
    const float* x = rows + (row + ahead) * stride;
    for (size_t d = 0; d < head_.head_dim; d += kLine) __builtin_prefetch(x + d);
  }

  // A row of q or k, normed and rotated by its position, as an operand of q * k^T.
  template <Storage kStorage>
  void norm_and_rotate(const float* x, const float* weight, size_t position, void* out) {
    const size_t half = head_.head_dim / 2, at = position * half;
    norm_rope<kStorage>(x, half, weight, head_.eps, head_.cos + at, head_.sin + at, out);
  }

  // Panels of 16 keys, head_dim deep. Keys past the end are zero.
  void pack_keys() {
    B* rows = reinterpret_cast<B*>(rows_);
    for (size_t first = 0; first < keys_; first += kPanel) {
      if (head_.cut.made()) return;
      for (size_t j = 0; j < kPanel; j++) {
        B* row = rows + j * key_steps_;
        prefetch(head_.k, head_.kv_stride, first + j, kAhead, head_.seq_len);
        prefetch(head_.v, head_.kv_stride, first + j, kAhead, head_.seq_len);
        if (first + j < head_.seq_len) {
          const float* key = head_.k + (first + j) * head_.kv_stride;
          norm_and_rotate<Operands::kRight>(key, head_.k_norm, first + j, row);
        } else {
          std::memset(row, 0, key_steps_ * sizeof(B));
        }
      }
      B* panel = packed_keys_ + first * key_steps_;
      for (size_t i = 0; i < key_steps_; i++) {
        for (size_t j = 0; j < kPanel; j++) panel[i * kPanel + j] = rows[j * key_steps_ + i];
      }
    }
  }

  // Panels of 16 dimensions, seq_len deep.
  void pack_values() {
    for (size_t i = 0; i < value_steps_; i++) {
      const float* value = head_.v + i * Operands::kStep * head_.kv_stride;
      const size_t left = head_.seq_len - i * Operands::kStep;
      for_vectors(head_.head_dim, [&](size_t d, size_t n) {
        const vf x = load(value + d, n);
        const vf y = Operands::kStep == 2 && left > 1 ? load(value + head_.kv_stride + d, n) : vf{};
        const auto step = Operands::join(x, y);
        B* to = packed_values_ + (d / kPanel * value_steps_ + i) * kPanel + d % kPanel;
        std::memcpy(to, &step, sizeof step);
      });
    }
  }

  // Rows [row, row + rows) of the queries of head g of the group: out = softmax(q * k^T) * v.
  void attend(size_t g, size_t row, size_t rows) {
    const size_t column = g * head_.head_dim, first = head_.seq_len - head_.queries + row;
    A* queries = reinterpret_cast<A*>(rows_);
    for (size_t r = 0; r < rows; r++) {
      const float* query = head_.q + (row + r) * head_.q_stride + column;
      prefetch(head_.q + column, head_.q_stride, row + r, kTileRows, head_.queries);
      norm_and_rotate<Operands::kLeft>(query, head_.q_norm, first + r,
                                       queries + r * head_.head_dim);
    }
    // Keys that the last of these rows sees; rows before it see fewer.
    const size_t visible = first + rows, padded = round_up(visible);
    tiles<Operands>(queries, head_.head_dim, rows, packed_keys_, kPanel * key_steps_,
                    padded / kPanel, key_steps_, Plain{scores_, keys_});
    float inverse[kTileRows];
    for (size_t r = 0; r < rows; r++) {
      inverse[r] = softmax(scores_ + r * keys_, first + r + 1, padded);
    }
    tiles<Operands>(reinterpret_cast<const A*>(scores_), keys_ * (sizeof(float) / sizeof(A)), rows,
                    packed_values_, kPanel * value_steps_, width_ / kPanel, steps(visible),
                    Plain{mixed_, width_});
    for (size_t r = 0; r < rows; r++) {
      void* out = static_cast<char*>(head_.out) +
                  ((row + r) * head_.out_stride + column) * size_of(Operands::kLeft);
      for_vectors(head_.head_dim, [&](size_t d, size_t n) {
        store(out, d, load(mixed_ + r * width_ + d) * inverse[r], n, Operands::kLeft);
      });
    }
  }

  // Replaces scores [padded] by e^(score - max), as left operands of the product with the values;
  // from `valid` on they are zero. Returns 1 / their sum.
  float softmax(float* scores, size_t valid, size_t padded) {
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head_.head_dim));
    const float lowest = -__builtin_inff();
    for (size_t j = valid; j < padded; j++) scores[j] = lowest;
    vf highest[kVectors];
    for (int v = 0; v < kVectors; v++) highest[v] = splat(lowest);
    for (size_t j = 0; j < padded; j += kPanel) {
      for (int v = 0; v < kVectors; v++) {
        highest[v] = max(load(scores + j + v * kLanes) * scale, highest[v]);
      }
    }
    const float top = max16(highest);
    vf sums[kVectors] = {};
    for (size_t j = 0; j < padded; j += kPanel) {
      for (int v = 0; v < kVectors; v++) {
        const size_t at = j + v * kLanes;
        const vf e = exp(load(scores + at) * scale - top);
        store(scores, at, e, kLanes, Operands::kLeft);
        sums[v] = sums[v] + e;
      }
    }
    return 1.0f / sum16(sums);
  }

  const AttentionHead& head_;
  const size_t keys_, width_;  // seq_len and head_dim, in whole panels
  const size_t key_steps_, value_steps_;
  B* const packed_keys_;    // [keys / kPanel, key_steps, kPanel]
  B* const packed_values_;  // [width / kPanel, value_steps, kPanel]
  float* const scores_;     // [kTileRows, keys]; then, at the same rows, weights of type A
  float* const mixed_;      // [kTileRows, width]
  float* const rows_;       // [kPanel, width]: keys before they are packed, or queries
};

}  // namespace

size_t attention_scratch_floats(size_t seq_len, size_t head_dim) {
  const size_t keys = round_up(seq_len), width = round_up(head_dim);
  return keys * head_dim + width * seq_len + kTileRows * (keys + width) + kPanel * width;
}

void attention(const AttentionHead& head) {
  if (head.storage == Storage::exact) return Attention<Float32>(head).run();
  if constexpr (kDot) {
    Attention<Bf16>(head).run();
  } else {
    Attention<Float32Bf16>(head).run();
  }
}

}  // namespace proofmill::PROOFMILL_ISA
