// The kernels' own source, compiled for the CPU.
#include "../../src/cuda/attention.cu"
#include "../../src/cuda/distance.cu"
#include "../../src/cuda/elementwise.cu"
#include "../../src/cuda/hopper_attention.cu"
#include "../../src/cuda/hopper_gemm.cu"
#include "../../src/cuda/norm_rope.cu"
#include "../../src/cuda/random.cu"
