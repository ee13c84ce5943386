// Weights in the layout in which products read them: panels of kPanelColumns rows of a matrix, as
// GemmBlock::b describes them.
#pragma once

#include <vector>

#include "device/backend.h"
#include "device/threads.h"

namespace proofmill::cpu {

class Packing {
 public:
  // Weights are stored as bf16, or else as float32.
  Packing(ThreadPool& pool, bool bf16) : pool_(pool), bf16_(bf16) {}

  // As Backend's.
  Linear pack(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases) const;
  // Panels of gate and of up alternate, so that both halves of an output meet in one block.
  Linear pack_gate_up(const Tensor& gate, const Tensor& up) const;
  // One row of a matrix that `pack` packed, as float32.
  void unpack_row(const Linear& packed, size_t row, float* out) const;
  // Bytes of a panel of weights with so many columns of a matrix (in_features).
  size_t panel_bytes(size_t depth) const;

 private:
  template <class ReadRow>
  Linear pack_rows(size_t rows, size_t depth, ReadRow&& read_row) const;

  ThreadPool& pool_;
  const bool bf16_;
};

}  // namespace proofmill::cpu
