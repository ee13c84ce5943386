#include "packing.h"

#include <algorithm>

#include "device/random.h"
#include "kernels.h"
#include "memory.h"

namespace proofmill::cpu {

namespace {

size_t panels_of(size_t rows) { return (rows + kPanelColumns - 1) / kPanelColumns; }

}  // namespace

Linear Packing::pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases) const {
  size_t rows = 0;
  for (const Tensor& matrix : matrices) rows += matrix.shape[0];
  Linear packed = pack_rows(rows, matrices[0].shape[1], [&](size_t row, float* out) {
    for (const Tensor& matrix : matrices) {
      if (row < matrix.shape[0]) return matrix.read(row * matrix.shape[1], matrix.shape[1], out);
      row -= matrix.shape[0];
    }
  });
  for (const Tensor& matrix : matrices) matrix.release();
  if (!biases.empty()) {
    packed.bias = allocate(rows * sizeof(float));
    float* at = packed.bias.as<float>();
    for (const Tensor& bias : biases) {
      bias.read(0, bias.elements(), at);
      at += bias.elements();
    }
  }
  return packed;
}

Linear Packing::pack_gate_up(const Tensor& gate, const Tensor& up) const {
  const size_t features = gate.shape[0], depth = gate.shape[1];
  const size_t rows = panels_of(features) * 2 * kPanelColumns;
  Linear packed = pack_rows(rows, depth, [&](size_t row, float* out) {
    const size_t panel = row / kPanelColumns;
    const size_t feature = panel / 2 * kPanelColumns + row % kPanelColumns;
    if (feature >= features) return std::fill_n(out, depth, 0.0f), void();
    (panel % 2 == 0 ? gate : up).read(feature * depth, depth, out);
  });
  packed.out_features = features;
  gate.release();
  up.release();
  return packed;
}

void Packing::unpack_row(const Linear& packed, size_t row, float* out) const {
  const size_t depth = packed.in_features, column = row % kPanelColumns;
  const char* at = packed.packed.as<char>() + row / kPanelColumns * panel_bytes(depth);
  for (size_t k = 0; k < depth; k++) {
    out[k] = bf16_ ? rng::from_bf16(reinterpret_cast<const uint16_t*>(
                         at)[k / 2 * 2 * kPanelColumns + column * 2 + k % 2])
                   : reinterpret_cast<const float*>(at)[k * kPanelColumns + column];
  }
}

size_t Packing::panel_bytes(size_t depth) const {
  return (bf16_ ? (depth + depth % 2) * sizeof(uint16_t) : depth * sizeof(float)) * kPanelColumns;
}

template <class ReadRow>
Linear Packing::pack_rows(size_t rows, size_t depth, ReadRow&& read_row) const {
  const size_t panels = panels_of(rows);
  Linear packed{rows, depth, allocate(panels * panel_bytes(depth)), {}};
  // An odd depth's last pair is half empty.
  std::vector<std::vector<float>> row_of(pool_.size(), std::vector<float>(depth + 1));
  pool_.run(panels, [&](size_t panel, size_t worker) {
    std::vector<float>& row = row_of[worker];
    char* at = packed.packed.as<char>() + panel * panel_bytes(depth);
    for (size_t column = 0; column < kPanelColumns; column++) {
      const size_t r = panel * kPanelColumns + column;
      if (r < rows) {
        read_row(r, row.data());
      } else {
        std::fill(row.begin(), row.end(), 0.0f);
      }
      if (bf16_) {
        uint16_t* to = reinterpret_cast<uint16_t*>(at) + column * 2;
        for (size_t k = 0; k < depth + depth % 2; k++) {
          to[k / 2 * 2 * kPanelColumns + k % 2] = rng::to_bf16(row[k]);
        }
      } else {
        float* to = reinterpret_cast<float*>(at) + column;
        for (size_t k = 0; k < depth; k++) to[k * kPanelColumns] = row[k];
      }
    }
  });
  return packed;
}

}  // namespace proofmill::cpu
