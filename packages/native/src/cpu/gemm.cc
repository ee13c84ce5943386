#include "kernels.h"
#include "kernels_isa.h"
#include "tile.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

vf silu(vf x) { return x / (exp(vf{} - x) + 1.0f); }

void store_row(const GemmBlock& block, size_t row) {
  const float* sums = block.sums + row * block.panels * kPanel;
  float* out = block.out + row * block.out_stride;
  const bool swiglu = block.epilogue == GemmBlock::Epilogue::swiglu;
  const bool add = block.epilogue == GemmBlock::Epilogue::add;
  for (size_t column = 0; column < block.columns; column += kLanes) {
    vf y;
    if (swiglu) {
      // Panels alternate: 16 columns of gate, the same 16 of up.
      const float* gate = sums + column / kPanel * 2 * kPanel + column % kPanel;
      y = silu(load(gate)) * load(gate + kPanel);
      if (block.round_bf16) y = round_bf16(y);
    } else {
      y = load(sums + column);
    }
    const size_t n = block.columns - column;
    if (n >= kLanes) {
      if (add) y = load(out + column) + y;
      if (block.bias) y = y + load(block.bias + column);
      store(out + column, y);
      continue;
    }
    float lanes[kLanes];
    store(lanes, y);
    for (size_t i = 0; i < n; i++) {
      float x = lanes[i];
      if (add) x = out[column + i] + x;
      if (block.bias) x = x + block.bias[column + i];
      out[column + i] = x;
    }
  }
}

// Asks for a panel's part [depth, kPanel] bf16 while another is at work: widening waits for memory
// otherwise, with nothing to do meanwhile.
void prefetch_panel(const uint16_t* part, size_t depth) {
  constexpr size_t kLine = 64 / sizeof(uint16_t);
  for (size_t i = 0; i < depth * kPanel; i += kLine) __builtin_prefetch(part + i, 0, 2);
}

}  // namespace

void gemm(const GemmBlock& block) {
  const size_t width = block.panels * kPanel;
  for (size_t k = 0; k < block.depth; k += kBlockDepth) {
    const size_t depth = block.depth - k < kBlockDepth ? block.depth - k : kBlockDepth;
    for (size_t p = 0; p < block.panels; p++) {
      const float* panel;
      const size_t at = (p * block.depth + k) * kPanel;
      if (block.b_is_bf16) {
        const uint16_t* packed = static_cast<const uint16_t*>(block.b) + at;
        float* widened = block.widened;
        for (size_t i = 0; i < depth * kPanel; i += kLanes) {
          store(widened + i, load_bf16(packed + i));
        }
        panel = widened;
        if (p + 1 < block.panels) prefetch_panel(packed + block.depth * kPanel, depth);
      } else {
        panel = static_cast<const float*>(block.b) + at;
      }
      tiles(block.a + k, block.a_stride, block.rows, panel, depth, block.sums + p * kPanel, width,
            k == 0);
    }
  }
  for (size_t row = 0; row < block.rows; row++) store_row(block, row);
}

}  // namespace proofmill::PROOFMILL_ISA
