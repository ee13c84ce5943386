// The description by which Hopper's copy engine knows a tensor, and how kernels are launched.
#pragma once

#include <cuda.h>

#include <array>
#include <string>

#include "device.h"

namespace proofmill::cuda::hopper {

// A tensor of bf16 or float32, the innermost dimension first, whose rows follow without a gap;
// `strides`, in elements and multiples of 16 bytes, are those of the others. It is read in boxes,
// the innermost 128 bytes long, which lie in shared memory with 128-byte swizzle; what of a box is
// outside the tensor is zero.
template <class T, int kRank>
CUtensorMap tensor_map(const Device& device, const T* tensor,
                       const std::array<size_t, kRank>& sizes,
                       const std::array<size_t, kRank - 1>& strides,
                       const std::array<unsigned, kRank>& box) {
  using Encode =
      CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                   const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                   CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  static const Encode encode = [&] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    PROOFMILL_CUDA(device, cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                            cudaEnableDefault, &result));
    if (found == nullptr) throw DeviceLost("the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<Encode>(found);
  }();
  cuuint64_t size[kRank], bytes[kRank];
  cuuint32_t box_size[kRank], steps[kRank];
  std::string text;
  for (int i = 0; i < kRank; i++) {
    size[i] = sizes[i];
    box_size[i] = box[i];
    steps[i] = 1;
    if (i > 0) bytes[i - 1] = strides[i - 1] * sizeof(T);
    text += (i > 0 ? " by " : "") + std::to_string(sizes[i]);
  }
  constexpr CUtensorMapDataType kType =
      sizeof(T) == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  CUtensorMap map;
  const CUresult result =
      encode(&map, kType, kRank, const_cast<T*>(tensor), size, bytes, box_size, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw DeviceLost("cuTensorMapEncodeTiled failed with " + std::to_string(int{result}) +
                     " for a tensor of " + text);
  }
  return map;
}

// Launches a kernel that may begin before the last one in the stream has ended: it calls
// wait_for_last_kernel before it reads or writes memory.
template <class... Parameters, class... Arguments>
void launch_early(const Device& device, void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                  size_t shared, const Arguments&... arguments) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = device.stream;
  config.attrs = &early;
  config.numAttrs = 1;
  PROOFMILL_CUDA(device, cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

}  // namespace proofmill::cuda::hopper
