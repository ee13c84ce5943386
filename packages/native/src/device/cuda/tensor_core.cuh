// Tensor-core instructions of compute capability 8.0 and later, and asynchronous copies into shared
// memory. Tests emulate them.
#pragma once

#include "kernel.h"

namespace proofmill::cuda {

// d [16, 8] += a [16, 16] * b [16, 8]: bf16 in, float32 sums; fragments as in the PTX ISA.
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  emulated::mma_bf16(d, a, b0, b1);
#endif
}

// Four 8 by 8 matrices from shared memory: lane i names row i % 8 of matrix i / 8, 16-byte aligned.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const bf16* row) {
#if defined(__CUDACC__)
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
#else
  emulated::ldmatrix(r, row, false);
#endif
}

__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const bf16* row) {
#if defined(__CUDACC__)
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
#else
  emulated::ldmatrix(r, row, true);
#endif
}

// 16 bytes from device into shared memory, both aligned, or zeros where they are not `wanted`;
// there after wait_for_copies.
__device__ __forceinline__ void copy16_async(bf16* shared, const bf16* from, bool wanted) {
#if defined(__CUDACC__)
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = wanted ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes)
               : "memory");
#else
  *reinterpret_cast<uint4*>(shared) =
      wanted ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// This thread's copies, but for its last `kLeft` groups; other threads' need a barrier after it.
template <int kLeft>
__device__ __forceinline__ void wait_for_copies() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

}  // namespace proofmill::cuda
