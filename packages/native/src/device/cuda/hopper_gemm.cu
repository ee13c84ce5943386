// Matrix products of bfloat16 on Hopper, each with its epilogue.
#include "hopper_gemm.h"
#include "tile_addition.cuh"
#include "tile_epilogue.cuh"

#if defined(__CUDACC__)
#include "hopper_gemm.cuh"
#include "hopper_thin.cuh"
#endif  // else who includes this file has included what stands for them in the emulation
#include "tile_finish.cuh"

namespace proofmill::cuda {

namespace {

bool aligned(const void* pointer, size_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

RowNorm norm_of(const HopperProduct& p) {
  return {p.squares, static_cast<int>(p.parts), static_cast<float>(p.k), p.eps};
}

StoreRounded store_of(const HopperProduct& p, const bf16* bias, bf16* d, size_t stride) {
  return {norm_of(p), bias, d, stride, aligned(d, 16) && stride % 8 == 0 && p.n % 8 == 0};
}

// The product by the kernel for many rows, or, where there is room for sums, by those for few.
template <class Epilogue>
void multiply(const Device& device, const HopperProduct& p, const Epilogue& epilogue) {
  if (p.sums == nullptr) return hopper::multiply_tiles(device, p, epilogue);
  const size_t stride = hopper_sums_stride(p.n);
  hopper::multiply_thin(device, p, p.sums, stride);
  hopper::finish_tiles(device, p, p.sums, stride, epilogue);
}

}  // namespace

bool hopper_few_rows(size_t rows, size_t k) { return rows <= kHopperFewRows && k % 64 == 0; }

void hopper_product(const Device& device, const HopperProduct& p, const bf16* bias, bf16* d,
                    size_t stride) {
  multiply(device, p, store_of(p, bias, d, stride));
}

bool hopper_rotates_heads(size_t head_dim) { return head_dim == 64 || head_dim == 128; }

void hopper_product_heads(const Device& device, const HopperProduct& p, const bf16* bias,
                          const HopperHeads& heads, bf16* d, size_t stride) {
  const auto run = [&](auto epilogue) {
    const size_t head_dim = static_cast<size_t>(heads.q.head_dim);
    epilogue.store = store_of(p, bias, d, stride);
    epilogue.q = heads.q;
    epilogue.k = heads.k;
    // The number of heads of this product before a column of q, k and v: those before its own first
    // column are not among them.
    const auto head = [&](size_t column) {
      return static_cast<int>(column > heads.column ? (column - heads.column) / head_dim : 0);
    };
    epilogue.k_from = head(heads.q_width);
    epilogue.v_from = head(heads.q_width + heads.kv_width);
    epilogue.seq_len = static_cast<int>(heads.seq_len);
    epilogue.positions = static_cast<int>(heads.positions);
    epilogue.at = heads.at;
    multiply(device, p, epilogue);
  };
  const bool at = heads.at != nullptr;
  if (heads.q.head_dim == 64) {
    at ? run(StoreHeads<64, true>{}) : run(StoreHeads<64, false>{});
  } else {
    at ? run(StoreHeads<128, true>{}) : run(StoreHeads<128, false>{});
  }
}

void hopper_product_swiglu(const Device& device, const HopperProduct& p, bf16* d, size_t stride) {
  multiply(device, p, StoreSwiglu{norm_of(p), d, stride});
}

void hopper_product_float(const Device& device, const HopperProduct& p, float* d, size_t stride) {
  const bool vectors = aligned(d, 8) && stride % 2 == 0 && p.n % 2 == 0;
  const StoreFloat store{norm_of(p), d, stride, vectors};
  if (p.sums == nullptr || !vectors) return hopper::multiply_tiles(device, p, store);
  hopper::multiply_thin(device, p, d, stride);
  if (p.squares != nullptr) hopper::finish_tiles(device, p, d, stride, store);
}

size_t hopper_parts(size_t n) { return divide_up(n, static_cast<size_t>(kTileColumns)); }

size_t hopper_scratch_bytes(size_t rows, size_t n) {
  return (rows * hopper_parts(n) + kHopperFewRows * hopper_sums_stride(n)) * sizeof(float);
}

void hopper_product_add(const Device& device, const HopperProduct& p, float* x, size_t stride,
                        const HopperNext& next) {
  const Addition addition{x,
                          stride,
                          next.weight,
                          next.next,
                          next.stride,
                          next.squares,
                          static_cast<int>(hopper_parts(p.n))};
  if (!aligned(x, 16) || stride % 4 != 0 || p.n % 4 != 0) {
    multiply(device, p, AddPlainly(addition));
  } else if (next.weight != nullptr) {
    multiply(device, p, StoreAddition<true>(addition));
  } else {
    multiply(device, p, StoreAddition<false>(addition));
  }
}

}  // namespace proofmill::cuda
