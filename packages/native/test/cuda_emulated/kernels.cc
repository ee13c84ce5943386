// The kernels' own source, compiled for the CPU.
#include "device/cuda/attention.cu"
#include "device/cuda/distance.cu"
#include "device/cuda/elementwise.cu"
#include "device/cuda/hopper_attention.cu"
#include "device/cuda/hopper_gemm.cu"
#include "device/cuda/norm_rope.cu"
#include "device/cuda/random.cu"
