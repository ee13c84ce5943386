#include "kernels_isa.h"
#include "tile.h"

namespace proofmill::PROOFMILL_ISA {

namespace {

// A strip is the panels that a tile's rows are multiplied by together: gate and up are in one.
constexpr size_t kStrip = kTilePanels < 2 ? 2 : kTilePanels;
constexpr size_t kStripColumns = kStrip * kPanel;
static_assert(kRowStep % kTileRows == 0);

constexpr size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

vf silu(vf x) { return x / (exp(vf{} - x) + 1.0f); }

// One block, for the types of its operands and for what is done with its sums.
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
      const size_t first = panel * kPanel / (kSwiglu ? 2 : 1);
      const size_t columns =
          block_.columns - first < kOutColumns ? block_.columns - first : kOutColumns;
      const B* b = b_ + panel * steps_ * kPanel;
      // With each tile of this strip, memory is asked for a share of the next one. A block of few
      // rows goes through the weights one after another, and the CPU prefetches them by itself.
      Ahead ahead{kNear, 0};
      if (bytes_each <= 64) ahead = {reinterpret_cast<const char*>(b + strip), bytes_each};
      for (size_t row = 0; row < block_.rows; row += kTileRows) {
        const size_t rows = block_.rows - row < kTileRows ? block_.rows - row : kTileRows;
        const Out out = out_at(row, first);
        if constexpr (!kSwiglu) prefetch(out, rows);
        const auto multiply = [&](const auto& finish) {
          tiles<Operands>(a_ + row * block_.a_stride, block_.a_stride, rows, b, steps_ * kPanel,
                          panels, steps_, finish, ahead);
        };
        if (kWhole && columns == kOutColumns) {
          multiply(out);
        } else {
          alignas(64) float sums[kTileRows * kStripColumns];
          multiply(Plain{sums, kStripColumns});
          for (size_t r = 0; r < rows; r++) out.put_row(r, columns, sums + r * kStripColumns);
        }
        ahead.at += ahead.bytes_each * steps_;
      }
    }
  }

 private:
  using A = typename Operands::A;
  using B = typename Operands::B;

  static constexpr bool kSwiglu = kEpilogue == GemmBlock::Epilogue::swiglu;
  static constexpr size_t kOutColumns = kStripColumns / (kSwiglu ? 2 : 1);
  static constexpr Storage kStorage = kSwiglu ? Operands::kLeft : Storage::exact;
  // Whether every element of out is made from one tile: for swiglu a tile must hold gate and up.
  static constexpr bool kWhole = !kSwiglu || kTilePanels % 2 == 0;

  // Where the sums of a tile's rows and one strip go, and what is done with them before.
  struct Out {
    char* at;
    size_t stride;      // bytes
    const float* bias;  // of the strip, or null

    // Stores y as elements `column` to `column` + n of row r; `up` counts for swiglu only.
    inline __attribute__((always_inline)) void put(size_t r, size_t column, vf y, vf up,
                                                   size_t n) const {
      char* row = at + r * stride;
      if constexpr (kSwiglu) y = silu(y) * up;
      if constexpr (kEpilogue == GemmBlock::Epilogue::add) {
        y = load(reinterpret_cast<const float*>(row) + column, n) + y;
      }
      if (!kSwiglu && bias) y = y + load(bias + column, n);
      store(row, column, y, n, kStorage);
    }

    // Sums as a tile holds them, of whole panels.
    template <int R, int P>
    inline __attribute__((always_inline)) void operator()(const Sums<R, P>& sums,
                                                          size_t panel) const {
      // Panels alternate for swiglu: 16 columns of gate, the same 16 of up.
      constexpr int kEach = kSwiglu ? 2 : 1;
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int p = 0; p + kEach <= P; p += kEach) {
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; v++) {
            put(r, (panel + p) / kEach * kPanel + v * kLanes, sums[r][p][v],
                sums[r][p + kEach - 1][v], kLanes);
          }
        }
      }
    }

    // A row's sums [kStripColumns] in memory, of which `columns` elements of out are made.
    void put_row(size_t r, size_t columns, const float* sums) const {
      for_vectors(columns, [&](size_t column, size_t n) {
        const float* y =
            kSwiglu ? sums + column / kPanel * 2 * kPanel + column % kPanel : sums + column;
        put(r, column, load(y), kSwiglu ? load(y + kPanel) : vf{}, n);
      });
    }
  };

  Out out_at(size_t row, size_t column) const {
    return {static_cast<char*>(block_.out) + (row * block_.out_stride + column) * size_of(kStorage),
            block_.out_stride * size_of(kStorage), block_.bias ? block_.bias + column : nullptr};
  }

  // Asks for the float32 that will be written, or added to, while the product is at work.
  static void prefetch(const Out& out, size_t rows) {
    constexpr size_t kLine = 64;
    for (size_t r = 0; r < rows; r++) {
      const char* row = out.at + r * out.stride;
      for (size_t i = 0; i < kOutColumns * sizeof(float); i += kLine) {
        __builtin_prefetch(row + i, 1);
      }
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
