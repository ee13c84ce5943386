#include "kernels_isa.h"
#include "tile.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

size_t round_up(size_t n) { return (n + kPanel - 1) / kPanel * kPanel; }

// Panels of 16 keys, head_dim deep: the right operand of q * k^T. Keys past the end are zero.
void pack_keys(const AttentionHead& head, float* out) {
  for (size_t first = 0; first < head.seq_len; first += kPanel) {
    float* panel = out + first * head.head_dim;
    for (size_t j = 0; j < kPanel; j++) {
      const bool inside = first + j < head.seq_len;
      const float* key = head.k + (first + j) * head.kv_stride;
      for (size_t d = 0; d < head.head_dim; d++) panel[d * kPanel + j] = inside ? key[d] : 0.0f;
    }
  }
}

// Panels of 16 dimensions, seq_len deep: the right operand of p * v.
void pack_values(const AttentionHead& head, float* out) {
  for (size_t first = 0; first < head.head_dim; first += kPanel) {
    float* panel = out + first * head.seq_len;
    const size_t width = head.head_dim - first < kPanel ? head.head_dim - first : kPanel;
    for (size_t t = 0; t < head.seq_len; t++) {
      const float* value = head.v + t * head.kv_stride + first;
      for (size_t d = 0; d < kPanel; d++) panel[t * kPanel + d] = d < width ? value[d] : 0.0f;
    }
  }
}

// scores [padded] -> e^(score * scale - max) with zeros from `valid` on. Returns 1 / their sum.
float softmax(float* scores, size_t valid, size_t padded, float scale) {
  const float lowest = -__builtin_inff();
  for (size_t j = valid; j < padded; j++) scores[j] = lowest;
  vf highest[kVectors];
  for (int v = 0; v < kVectors; v++) highest[v] = splat(lowest);
  for (size_t j = 0; j < padded; j += kPanel) {
    for (int v = 0; v < kVectors; v++) {
      highest[v] = max(load(scores + j + v * kLanes) * scale, highest[v]);
    }
  }
  float lanes[kPanel];
  for (int v = 0; v < kVectors; v++) store(lanes + v * kLanes, highest[v]);
  float top = lanes[0];
  for (size_t i = 1; i < kPanel; i++) top = lanes[i] > top ? lanes[i] : top;
  vf sums[kVectors] = {};
  for (size_t j = 0; j < padded; j += kPanel) {
    for (int v = 0; v < kVectors; v++) {
      float* at = scores + j + v * kLanes;
      const vf e = exp(load(at) * scale - top);
      store(at, e);
      sums[v] = sums[v] + e;
    }
  }
  return 1.0f / sum16(sums);
}

}  // namespace

size_t attention_scratch_floats(size_t seq_len, size_t head_dim) {
  const size_t keys = round_up(seq_len), width = round_up(head_dim);
  return keys * head_dim + width * seq_len + kTileRows * (keys + width);
}

void attention(const AttentionHead& head) {
  const size_t keys = round_up(head.seq_len), width = round_up(head.head_dim);
  float* packed_keys = head.scratch;
  float* packed_values = packed_keys + keys * head.head_dim;
  float* scores = packed_values + width * head.seq_len;
  float* mixed = scores + kTileRows * keys;
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(head.head_dim));
  const size_t first_position = head.seq_len - head.queries;
  pack_keys(head, packed_keys);
  pack_values(head, packed_values);

  for (size_t g = 0; g < head.group; g++) {
    for (size_t row = 0; row < head.queries; row += kTileRows) {
      const size_t rows = head.queries - row < kTileRows ? head.queries - row : kTileRows;
      // Only the panels that the last of these rows may see.
      const size_t visible = first_position + row + rows;
      const size_t padded = round_up(visible);
      const float* q = head.q + row * head.q_stride + g * head.head_dim;
      tiles<Float32>(q, head.q_stride, rows, packed_keys, kPanel * head.head_dim, padded / kPanel,
                     head.head_dim, scores, keys);
      float inverse[kTileRows];
      for (size_t r = 0; r < rows; r++) {
        inverse[r] = softmax(scores + r * keys, first_position + row + r + 1, padded, scale);
      }
      tiles<Float32>(scores, keys, rows, packed_values, kPanel * head.seq_len, width / kPanel,
                     visible, mixed, width);
      for (size_t r = 0; r < rows; r++) {
        void* out = static_cast<char*>(head.out) +
                    ((row + r) * head.out_stride + g * head.head_dim) * size_of(head.storage);
        for (size_t d = 0; d < head.head_dim; d += kLanes) {
          store(out, d, load(mixed + r * width + d) * inverse[r], head.head_dim - d, head.storage);
        }
      }
    }
  }
}

}  // namespace proofmill::PROOFMILL_ISA
