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
        keys_(round_up(head.position + head.rows)),
        width_(round_up(head.head_dim)),
        key_steps_(steps(head.head_dim)),
        value_steps_(steps(head.page_keys)),
        scores_(head.scratch),
        mixed_(scores_ + kTileRows * keys_),
        rows_(mixed_ + kTileRows * width_) {}

  void pack() const {
    pack_keys();
    pack_values();
  }

  // A tile's rows are pairs of a position and a head, since every head of the group reads the same
  // keys.
  void attend() const {
    const size_t rows = head_.queries * head_.group;
    for (size_t row = 0; row < rows; row += kTileRows) {
      if (head_.cut->made()) return;
      attend(row, rows - row < kTileRows ? rows - row : kTileRows);
    }
  }

  static size_t page_bytes(size_t keys, size_t head_dim) {
    return (keys * steps(head_dim) + round_up(head_dim) * steps(keys)) * sizeof(B);
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
  void norm_and_rotate(const float* x, const float* weight, size_t position, void* out) const {
    const size_t half = head_.head_dim / 2, at = position * half;
    norm_rope<kStorage>(x, half, weight, head_.eps, head_.cos + at, head_.sin + at, out);
  }

  // Keys [page_keys / kPanel, key_steps, kPanel] of the page that holds those of this position.
  B* keys_at(size_t position) const {
    const size_t block = position / head_.page_keys;
    const size_t page = head_.blocks ? head_.blocks[block] : 0;
    return reinterpret_cast<B*>(head_.pages + page * head_.page_stride);
  }
  // And its values [width / kPanel, value_steps, kPanel].
  B* values_at(size_t position) const { return keys_at(position) + head_.page_keys * key_steps_; }

  // Panels of 16 keys, head_dim deep. Keys past the end are whatever they were.
  void pack_keys() const {
    B* rows = reinterpret_cast<B*>(rows_);
    for (size_t row = 0; row < head_.rows;) {
      if (head_.cut->made()) return;
      const size_t position = head_.position + row, column = position % kPanel;
      const size_t left = head_.rows - row;
      const size_t count = left < kPanel - column ? left : kPanel - column;
      for (size_t j = 0; j < count; j++) {
        prefetch(head_.k, head_.kv_stride, row + j, kAhead, head_.rows);
        prefetch(head_.v, head_.kv_stride, row + j, kAhead, head_.rows);
        norm_and_rotate<Operands::kRight>(head_.k + (row + j) * head_.kv_stride, head_.k_norm,
                                          position + j, rows + j * key_steps_);
      }
      const size_t first = position % head_.page_keys - column;
      B* panel = keys_at(position) + first * key_steps_ + column;
      for (size_t i = 0; i < key_steps_; i++) {
        for (size_t j = 0; j < count; j++) panel[i * kPanel + j] = rows[j * key_steps_ + i];
      }
      row += count;
    }
  }

  // Panels of 16 dimensions, as many steps deep as a page has keys. A step that lacks its second
  // key ends in zeros until that comes.
  void pack_values() const {
    constexpr size_t kStep = Operands::kStep;
    for (size_t row = 0; row < head_.rows;) {
      const size_t position = head_.position + row;
      const bool second = position % kStep != 0;  // the first one stands there already
      const bool both = kStep == 2 && !second && head_.rows - row > 1;
      const float* value = head_.v + row * head_.kv_stride;
      B* values = values_at(position) + position % head_.page_keys / kStep * kPanel;
      for_vectors(head_.head_dim, [&](size_t d, size_t n) {
        B* to = values + d / kPanel * value_steps_ * kPanel + d % kPanel;
        const vf x = load(value + d, n);
        if constexpr (kStep == 2) {
          const vu step = second ? (load(to) & 0xffffu) | Operands::join(vf{}, x)
                          : both ? Operands::join(x, load(value + head_.kv_stride + d, n))
                                 : Operands::join(x, vf{});
          std::memcpy(to, &step, sizeof step);
        } else {
          std::memcpy(to, &x, sizeof x);
        }
      });
      row += both ? 2 : 1;
    }
  }

  // out = softmax(q * k^T) * v for rows [row, row + rows) of all pairs of a position and a head.
  void attend(size_t row, size_t rows) const {
    A* queries = reinterpret_cast<A*>(rows_);
    const size_t first = head_.position + head_.rows - head_.queries;
    for (size_t r = 0; r < rows; r++) {
      const size_t query = (row + r) / head_.group, g = (row + r) % head_.group;
      const float* q = head_.q + g * head_.head_dim;
      prefetch(q, head_.q_stride, query, kTileRows, head_.queries);
      norm_and_rotate<Operands::kLeft>(q + query * head_.q_stride, head_.q_norm, first + query,
                                       queries + r * head_.head_dim);
    }
    // Keys that the last of these rows sees; rows before it see fewer.
    const size_t visible = first + (row + rows - 1) / head_.group + 1;
    const size_t padded = round_up(visible);
    for (size_t key = 0; key < visible; key += head_.page_keys) {
      const size_t here = padded - key < head_.page_keys ? padded - key : head_.page_keys;
      tiles<Operands>(queries, head_.head_dim, rows, keys_at(key), kPanel * key_steps_,
                      here / kPanel, key_steps_, Plain{scores_ + key, keys_});
    }
    float inverse[kTileRows];
    for (size_t r = 0; r < rows; r++) {
      inverse[r] = softmax(scores_ + r * keys_, first + (row + r) / head_.group + 1, padded);
    }
    for (size_t key = 0; key < visible; key += head_.page_keys) {
      const size_t here = visible - key < head_.page_keys ? visible - key : head_.page_keys;
      const A* weights =
          reinterpret_cast<const A*>(scores_) + key;  // of each row, where its scores were
      const auto mix = [&](const auto& finish) {
        tiles<Operands>(weights, keys_ * (sizeof(float) / sizeof(A)), rows, values_at(key),
                        kPanel * value_steps_, width_ / kPanel, steps(here), finish);
      };
      if (key == 0) {
        mix(Plain{mixed_, width_});
      } else {
        mix(Continued{{mixed_, width_}});
      }
    }
    for (size_t r = 0; r < rows; r++) {
      const size_t query = (row + r) / head_.group, g = (row + r) % head_.group;
      void* out = static_cast<char*>(head_.out) +
                  (query * head_.out_stride + g * head_.head_dim) * size_of(Operands::kLeft);
      for_vectors(head_.head_dim, [&](size_t d, size_t n) {
        store(out, d, load(mixed_ + r * width_ + d) * inverse[r], n, Operands::kLeft);
      });
    }
  }

  // Replaces scores [padded] by e^(score - max), as left operands of the product with the values;
  // from `valid` on they are zero. Returns 1 / their sum.
  float softmax(float* scores, size_t valid, size_t padded) const {
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
  const size_t keys_, width_;  // all keys and head_dim, in whole panels
  const size_t key_steps_, value_steps_;
  float* const scores_;  // [kTileRows, keys]; then, at the same rows, weights of type A
  float* const mixed_;   // [kTileRows, width]
  float* const rows_;    // [kPanel, width]: keys before they are packed, or queries
};

// Calls fn(attention) for the types of operands that this build takes.
template <class Fn>
auto with_operands(bool exact, Fn&& fn) {
  if (exact) return fn(static_cast<Attention<Float32>*>(nullptr));
  if constexpr (kDot) {
    return fn(static_cast<Attention<Bf16>*>(nullptr));
  } else {
    return fn(static_cast<Attention<Float32Bf16>*>(nullptr));
  }
}

}  // namespace

size_t attention_scratch_floats(size_t keys, size_t head_dim) {
  const size_t width = round_up(head_dim);
  return kTileRows * (round_up(keys) + width) + kPanel * width;
}

size_t kv_page_bytes(size_t keys, size_t head_dim, bool exact) {
  return with_operands(exact, [&]<class A>(A*) { return A::page_bytes(keys, head_dim); });
}

void pack_kv(const AttentionHead& head) {
  with_operands(head.storage == Storage::exact, [&]<class A>(A*) { A(head).pack(); });
}

void attend(const AttentionHead& head) {
  with_operands(head.storage == Storage::exact, [&]<class A>(A*) { A(head).attend(); });
}

}  // namespace proofmill::PROOFMILL_ISA
