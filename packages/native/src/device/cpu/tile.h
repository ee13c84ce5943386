// The one inner loop of every matrix product here: a few rows of a times a few panels of b.
#pragma once

#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

template <int R, int P>
using Sums = vf[R][P][kVectors];

// sums += left(r) * right(p, v) for every row and every vector of the panels.
template <int R, int P, class Left, class Right, class MultiplyAdd>
inline __attribute__((always_inline)) void multiply_add(Sums<R, P>& sums, Left&& left,
                                                        Right&& right, MultiplyAdd&& op) {
  decltype(right(0, 0)) columns[P][kVectors];
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) columns[p][v] = right(p, v);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    const auto x = splat(left(r));
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; v++) sums[r][p][v] = op(x, columns[p][v], sums[r][p][v]);
    }
  }
}

// The kinds of operands: the type of a left and of a right element, how they are stored, how many
// rows of the right operand one step of k takes (kStep), and one step of the product. `join` makes
// a step of the right operand of that many of its rows.
struct Float32 {
  using A = float;
  using B = float;
  static constexpr Storage kLeft = Storage::exact, kRight = Storage::exact;
  static constexpr size_t kStep = 1;

  static vf join(vf row, vf) { return row; }

  template <int R, int P>
  static void step(Sums<R, P>& sums, const A* a, size_t a_stride, const B* b, size_t b_stride) {
    multiply_add<R, P>(
        sums, [=](int r) { return a[r * a_stride]; },
        [=](int p, int v) { return load(b + p * b_stride + v * kLanes); }, fma);
  }
};

// Float32 times pairs of bf16, in the order of `dot`.
struct Float32Bf16 {
  using A = float;
  using B = uint32_t;
  static constexpr Storage kLeft = Storage::rounded, kRight = Storage::bf16;
  static constexpr size_t kStep = 2;

  static vu join(vf even, vf odd) {
    return as_uint(round_bf16(even)) >> 16 | as_uint(round_bf16(odd));
  }

  template <int R, int P>
  static void step(Sums<R, P>& sums, const A* a, size_t a_stride, const B* b, size_t b_stride) {
    multiply_add<R, P>(
        sums, [=](int r) { return a[r * a_stride + 1]; },
        [=](int p, int v) { return odd_of(load(b + p * b_stride + v * kLanes)); }, fma);
    multiply_add<R, P>(
        sums, [=](int r) { return a[r * a_stride]; },
        [=](int p, int v) { return even_of(load(b + p * b_stride + v * kLanes)); }, fma);
  }
};

// Pairs of bf16 times pairs of bf16.
struct Bf16 {
  using A = uint16_t;
  using B = uint32_t;
  static constexpr Storage kLeft = Storage::bf16, kRight = Storage::bf16;
  static constexpr size_t kStep = 2;

  static vu join(vf even, vf odd) { return Float32Bf16::join(even, odd); }

  template <int R, int P>
  static void step(Sums<R, P>& sums, const A* a, size_t a_stride, const B* b, size_t b_stride) {
    multiply_add<R, P>(
        sums,
        [=](int r) {
          uint32_t pair;
          std::memcpy(&pair, a + r * a_stride, sizeof pair);
          return pair;
        },
        [=](int p, int v) { return load(b + p * b_stride + v * kLanes); }, dot);
  }
};

// Memory that a product asks for ahead: at every step `bytes_each` further on.
struct Ahead {
  const char* at;
  size_t bytes_each;
};
// For products that ask for nothing: a valid address, since one that is not mapped would cost a
// walk through page tables at every step.
inline constexpr char kNear[64] = {};

// Sums that go to memory as they are: c [rows, panels], its rows `stride` apart.
struct Plain {
  float* c;
  size_t stride;

  template <int R, int P>
  inline __attribute__((always_inline)) void operator()(const Sums<R, P>& sums,
                                                        size_t panel) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) {
          store(c + r * stride + (panel + p) * kPanel + v * kLanes, sums[r][p][v]);
        }
      }
    }
  }
};

// The same, of sums that go on where they were left in memory: steps that come in several pieces
// are added in the order of one.
struct Continued : Plain {
  template <int R, int P>
  inline __attribute__((always_inline)) void begin(Sums<R, P>& sums, size_t panel) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) {
          sums[r][p][v] = load(c + r * stride + (panel + p) * kPanel + v * kLanes);
        }
      }
    }
  }
};

// a [R, steps * kStep] * b [P, steps, kPanel], handed to `finish` in registers: every sum runs over
// k in one order, alone in its lane.
template <class Operands, int R, int P, class Finish>
inline void tile(const typename Operands::A* a, size_t a_stride, const typename Operands::B* b,
                 size_t b_stride, size_t steps, size_t panel, const Finish& finish, Ahead ahead) {
  Sums<R, P> sums = {};
  if constexpr (requires { finish.template begin<R, P>(sums, panel); }) {
    finish.template begin<R, P>(sums, panel);
  }
  for (size_t i = 0; i < steps; i++) {
    __builtin_prefetch(ahead.at, 0, 2);
    ahead.at += ahead.bytes_each;
    Operands::template step<R, P>(sums, a + i * Operands::kStep, a_stride, b + i * kPanel,
                                  b_stride);
  }
  finish.template operator()<R, P>(sums, panel);
}

// At most kTileRows rows, and any number of panels: as many at once as a tile holds, then the rest.
// `finish` gets the sums of rows 0 to R and of P panels from `panel` on.
template <class Operands, class Finish, int R = kTileRows, int P = kTilePanels>
inline void tiles(const typename Operands::A* a, size_t a_stride, size_t rows,
                  const typename Operands::B* b, size_t b_stride, size_t panels, size_t steps,
                  const Finish& finish, Ahead ahead = {kNear, 0}, size_t panel = 0) {
  if constexpr (R > 1) {
    if (rows < R) {
      return tiles<Operands, Finish, R - 1, P>(a, a_stride, rows, b, b_stride, panels, steps,
                                               finish, ahead, panel);
    }
  }
  for (; panel + P <= panels; panel += P) {
    tile<Operands, R, P>(a, a_stride, b + panel * b_stride, b_stride, steps, panel, finish, ahead);
  }
  if constexpr (P > 1) {
    if (panel < panels) {
      tiles<Operands, Finish, R, P - 1>(a, a_stride, rows, b, b_stride, panels, steps, finish,
                                        ahead, panel);
    }
  }
}

}  // namespace proofmill::PROOFMILL_ISA
