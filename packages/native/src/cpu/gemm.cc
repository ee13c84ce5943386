#include "kernels_isa.h"
#include "tile.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

// Panels that a block's rows are taken through together: gate and up meet in one strip.
constexpr size_t kStrip = kTilePanels < 2 ? 2 : kTilePanels;
constexpr size_t kStripColumns = kStrip * kPanel;

vf silu(vf x) { return x / (exp(vf{} - x) + 1.0f); }

// Row `row` of the strip that begins at panel `panel`, from its sums [kStripColumns].
void store_row(const GemmBlock& block, size_t row, size_t panel, const float* sums) {
  const bool swiglu = block.epilogue == GemmBlock::Epilogue::swiglu;
  const size_t first = panel * kPanel / (swiglu ? 2 : 1);
  const size_t width = kStripColumns / (swiglu ? 2 : 1);
  const size_t end = block.columns - first < width ? block.columns - first : width;
  if (swiglu) {
    // Panels alternate: 16 columns of gate, the same 16 of up.
    void* out = static_cast<char*>(block.out) + row * block.out_stride * size_of(block.storage);
    for (size_t column = 0; column < end; column += kLanes) {
      const float* gate = sums + column / kPanel * 2 * kPanel + column % kPanel;
      store(out, first + column, silu(load(gate)) * load(gate + kPanel), end - column,
            block.storage);
    }
    return;
  }
  const bool add = block.epilogue == GemmBlock::Epilogue::add;
  float* out = static_cast<float*>(block.out) + row * block.out_stride + first;
  const float* bias = block.bias ? block.bias + first : nullptr;
  size_t column = 0;
  for (; column + kLanes <= end; column += kLanes) {
    vf y = load(sums + column);
    if (add) y = load(out + column) + y;
    if (bias) y = y + load(bias + column);
    store(out + column, y);
  }
  for (; column < end; column++) {
    float y = sums[column];
    if (add) y = out[column] + y;
    if (bias) y = y + bias[column];
    out[column] = y;
  }
}

template <class Operands>
void multiply(const GemmBlock& block) {
  const auto* a = static_cast<const typename Operands::A*>(block.a);
  const auto* b = static_cast<const typename Operands::B*>(block.b);
  const size_t steps = (block.depth + Operands::kStep - 1) / Operands::kStep;
  for (size_t panel = 0; panel < block.panels; panel += kStrip) {
    const size_t panels = block.panels - panel < kStrip ? block.panels - panel : kStrip;
    for (size_t row = 0; row < block.rows; row += kTileRows) {
      const size_t rows = block.rows - row < kTileRows ? block.rows - row : kTileRows;
      float sums[kTileRows * kStripColumns];
      tiles<Operands>(a + row * block.a_stride, block.a_stride, rows, b + panel * steps * kPanel,
                      steps * kPanel, panels, steps, sums, kStripColumns);
      for (size_t r = 0; r < rows; r++) store_row(block, row + r, panel, sums + r * kStripColumns);
    }
  }
}

}  // namespace

void gemm(const GemmBlock& block) {
  if (!block.b_is_bf16) return multiply<Float32>(block);
  if constexpr (kDot) {
    multiply<Bf16>(block);
  } else {
    multiply<Float32Bf16>(block);
  }
}

}  // namespace proofmill::PROOFMILL_ISA
