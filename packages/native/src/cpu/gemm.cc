#include <type_traits>

#include "kernels_isa.h"
#include "tile.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

// Panels that a block's rows are taken through together: gate and up meet in one strip.
constexpr size_t kStrip = kTilePanels < 2 ? 2 : kTilePanels;
constexpr size_t kStripColumns = kStrip * kPanel;
static_assert(kRowStep % kTileRows == 0);

constexpr size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

vf silu(vf x) { return x / (exp(vf{} - x) + 1.0f); }

// One block, by its operands and by what becomes of its sums.
template <class Operands, GemmBlock::Epilogue kEpilogue>
class Block {
 public:
  explicit Block(const GemmBlock& block)
      : block_(block),
        a_(static_cast<const A*>(block.a)),
        b_(static_cast<const B*>(block.b)),
        steps_(divide_up(block.depth, Operands::kStep)) {}

  void run() {
    const size_t strip = kStrip * steps_ * kPanel, row_tiles = divide_up(block_.rows, kTileRows);
    const size_t bytes_each = strip * sizeof(B) / (steps_ * row_tiles);
    for (size_t panel = 0; panel < block_.panels; panel += kStrip) {
      const size_t panels = block_.panels - panel < kStrip ? block_.panels - panel : kStrip;
      const B* b = b_ + panel * steps_ * kPanel;
      // The next strip comes from memory, a share of it with each tile of this one. Where a few rows
      // run through the weights as fast as they come, the CPU itself sees what is next.
      Ahead ahead{kNear, 0};
      if (bytes_each <= 64) ahead = {reinterpret_cast<const char*>(b + strip), bytes_each};
      for (size_t row = 0; row < block_.rows; row += kTileRows) {
        const size_t rows = block_.rows - row < kTileRows ? block_.rows - row : kTileRows;
        if constexpr (!kSwiglu) prefetch_out(row, rows, panel);
        alignas(64) float sums[kTileRows * kStripColumns];
        tiles<Operands>(a_ + row * block_.a_stride, block_.a_stride, rows, b, steps_ * kPanel,
                        panels, steps_, sums, kStripColumns, ahead);
        ahead.at += ahead.bytes_each * steps_;
        for (size_t r = 0; r < rows; r++) store_row(row + r, panel, sums + r * kStripColumns);
      }
    }
  }

 private:
  using A = typename Operands::A;
  using B = typename Operands::B;

  static constexpr bool kSwiglu = kEpilogue == GemmBlock::Epilogue::swiglu;
  static constexpr size_t kOutColumns = kStripColumns / (kSwiglu ? 2 : 1);

  // Asks for the float32 that store_row will write, or add to, while the product is at work.
  void prefetch_out(size_t row, size_t rows, size_t panel) const {
    constexpr size_t kLine = 64 / sizeof(float);
    for (size_t r = row; r < row + rows; r++) {
      const float* out = static_cast<float*>(block_.out) + r * block_.out_stride + panel * kPanel;
      for (size_t i = 0; i < kOutColumns; i += kLine) __builtin_prefetch(out + i, 1);
    }
  }

  // Row `row` of the strip that begins at panel `panel`, from its sums [kStripColumns].
  void store_row(size_t row, size_t panel, const float* sums) const {
    const size_t first = panel * kPanel / (kSwiglu ? 2 : 1), columns = block_.columns - first;
    if (columns >= kOutColumns) {
      store_columns(row, first, std::integral_constant<size_t, kOutColumns>(), sums);
    } else {
      store_columns(row, first, columns, sums);
    }
  }

  // Columns [first, first + columns): a number that the compiler knows, or one that it does not.
  template <class Columns>
  void store_columns(size_t row, size_t first, Columns columns, const float* sums) const {
    if constexpr (kSwiglu) {
      // Panels alternate: 16 columns of gate, the same 16 of up.
      void* out = static_cast<char*>(block_.out) +
                  (row * block_.out_stride + first) * size_of(Operands::kLeft);
      for_vectors(columns, [&](size_t column, size_t n) {
        const float* gate = sums + column / kPanel * 2 * kPanel + column % kPanel;
        store(out, column, silu(load(gate)) * load(gate + kPanel), n, Operands::kLeft);
      });
    } else {
      float* out = static_cast<float*>(block_.out) + row * block_.out_stride + first;
      const float* bias = block_.bias ? block_.bias + first : nullptr;
      for_vectors(columns, [&](size_t column, size_t n) {
        vf y = load(sums + column);
        if (kEpilogue == GemmBlock::Epilogue::add) y = load(out + column, n) + y;
        if (bias) y = y + load(bias + column, n);
        store(out, column, y, n, Storage::exact);
      });
    }
  }

  const GemmBlock& block_;
  const A* const a_;
  const B* const b_;
  const size_t steps_;
};

template <class Operands>
void multiply(const GemmBlock& block) {
  switch (block.epilogue) {
    case GemmBlock::Epilogue::store:
      return Block<Operands, GemmBlock::Epilogue::store>(block).run();
    case GemmBlock::Epilogue::add:
      return Block<Operands, GemmBlock::Epilogue::add>(block).run();
    case GemmBlock::Epilogue::swiglu:
      return Block<Operands, GemmBlock::Epilogue::swiglu>(block).run();
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
