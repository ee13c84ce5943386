// The kernels' own source, compiled for the CPU. Of Hopper's products only the epilogues can be:
// the tiles are multiplied by what comes first.
// clang-format off
#include "emulated_hopper_gemm.h"
// clang-format on
#include "device/cuda/artifact.cu"
#include "device/cuda/attention.cu"
#include "device/cuda/bandwidth.cu"
#include "device/cuda/distance.cu"
#include "device/cuda/elementwise.cu"
#include "device/cuda/hopper_attention.cu"
#include "device/cuda/hopper_gemm.cu"
#include "device/cuda/norm_rope.cu"
#include "device/cuda/paged.cu"
#include "device/cuda/paged_attention.cu"
#include "device/cuda/paged_attention_f32.cu"
#include "device/cuda/random.cu"
