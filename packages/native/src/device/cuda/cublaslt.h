// The few functions of cuBLASLt that are used here, resolved at run time: machines that build often
// have the compiler but not that library. Names and values are those of NVIDIA's cublasLt.h, where
// they are stable from version 12 on.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace proofmill::cublaslt {

enum Status : int { kSuccess = 0, kAllocationFailed = 3 };
enum DataType : int { kFloat32 = 0, kBfloat16 = 14 };
enum ComputeType : int { kCompute32F = 68 };  // sums in float32
enum Operation : int { kNone = 0, kTranspose = 1 };

struct OpaqueMatrixLayout;
struct OpaqueMatmulDesc;
struct OpaquePreference;
struct OpaqueHandle;
// A matrix of `rows` by `columns` whose columns lie `leading` elements apart.
using MatrixLayout = OpaqueMatrixLayout*;
using MatmulDesc = OpaqueMatmulDesc*;
using Preference = OpaquePreference*;
using Handle = OpaqueHandle*;

enum MatmulAttribute : int {
  kTransA = 3,
  kTransB = 4,
  kEpilogue = 7,
  kBiasPointer = 8,
};
enum Epilogue : int { kEpilogueDefault = 1, kEpilogueBias = 4 };
enum PreferenceAttribute : int {
  kMaxWorkspaceBytes = 1,
  kReductionSchemeMask = 3,
  kMinAlignmentA = 5,
  kMinAlignmentB = 6,
  kMinAlignmentC = 7,
  kMinAlignmentD = 8,
};
enum ReductionScheme : uint32_t { kReductionNone = 0 };
enum AlgorithmAttribute : int { kAlgorithmSplitK = 2 };

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

struct Functions {
  size_t (*get_version)();
  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  Status (*matmul_desc_create)(MatmulDesc*, ComputeType, DataType scale);
  Status (*matmul_desc_destroy)(MatmulDesc);
  Status (*matmul_desc_set)(MatmulDesc, MatmulAttribute, const void* value, size_t bytes);
  Status (*layout_create)(MatrixLayout*, DataType, uint64_t rows, uint64_t columns,
                          int64_t leading);
  Status (*layout_destroy)(MatrixLayout);
  Status (*preference_create)(Preference*);
  Status (*preference_destroy)(Preference);
  Status (*preference_set)(Preference, PreferenceAttribute, const void* value, size_t bytes);
  Status (*heuristic)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c,
                      MatrixLayout d, Preference, int wanted, Heuristic* results, int* found);
  Status (*algorithm_get)(const Algorithm*, AlgorithmAttribute, void* value, size_t bytes,
                          size_t* written);
  // d = alpha * op(a) * op(b) + beta * c
  Status (*matmul)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout,
                   const void* b, MatrixLayout, const void* beta, const void* c, MatrixLayout,
                   void* d, MatrixLayout, const Algorithm*, void* workspace, size_t workspace_bytes,
                   cudaStream_t);
};

// Opens the library once per process: what PROOFMILL_CUBLASLT names, else from CUDA_HOME, the
// loader's path, the places of CUDA's own installer and of Python's wheels. Throws with the places
// that were tried.
const Functions& load();

}  // namespace proofmill::cublaslt
