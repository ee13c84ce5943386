// What cuBLASLt offers for proofmill's products on this GPU, and how fast: for every shape the
// candidates in the library's own order, each one's rate, whether it gives the first one's bits,
// and what changes with the number of tokens, the workspace and the alignment that is promised.
//   nvcc -std=c++17 -O2 -arch=sm_90 -I SRC lt_probe.cu SRC/cuda/cublaslt.cc -o lt_probe -ldl
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cuda/cublaslt.h"

using namespace proofmill::cublaslt;

#define CHECK(call)                                                               \
  do {                                                                            \
    const cudaError_t e = (call);                                                 \
    if (e != cudaSuccess) {                                                       \
      std::printf("%s: %s at line %d\n", #call, cudaGetErrorString(e), __LINE__); \
      std::exit(1);                                                               \
    }                                                                             \
  } while (0)

__device__ unsigned hash(unsigned i, unsigned seed) {
  unsigned h = i * 0xcc9e2d51u ^ seed;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}
__global__ void fill(unsigned short* x, size_t n, unsigned seed, float size) {
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n;
       i += size_t(gridDim.x) * blockDim.x) {
    const float v = (hash(unsigned(i), seed) * 2.3283064e-10f - 0.5f) * size;
    x[i] = (unsigned short)((__float_as_uint(v) + 0x8000u) >> 16);
  }
}
__global__ void differ(const unsigned* a, const unsigned* b, size_t n, unsigned long long* count) {
  unsigned long long own = 0;
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < n;
       i += size_t(gridDim.x) * blockDim.x) {
    own += a[i] != b[i];
  }
  if (own) atomicAdd(count, own);
}

struct Shape {
  const char* name;
  size_t n, k;
  bool d_float, add;
};

int main(int argc, char** argv) {
  const bool large = argc > 1 && std::string(argv[1]) == "8b";
  CHECK(cudaSetDevice(0));
  cudaDeviceProp p;
  CHECK(cudaGetDeviceProperties(&p, 0));
  int driver = 0;
  cudaDriverGetVersion(&driver);
  const Functions& lt = load();
  std::printf("# %s, %d SMs, L2 %d MB, driver %d, cuBLASLt %zu\n", p.name, p.multiProcessorCount,
              p.l2CacheSize >> 20, driver, lt.get_version());
  Handle handle;
  if (lt.create(&handle) != kSuccess) return std::printf("cublasLtCreate failed\n"), 1;
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaEvent_t from, to;
  CHECK(cudaEventCreate(&from));
  CHECK(cudaEventCreate(&to));
  constexpr size_t kWorkspace = size_t{32} << 20;
  void* workspace;
  CHECK(cudaMalloc(&workspace, kWorkspace));
  unsigned long long* count;
  CHECK(cudaMalloc(&count, 8));

  std::vector<Shape> shapes;
  std::vector<size_t> rows;
  if (large) {
    shapes = {{"qkv", 6144, 4096, false, false},
              {"o", 4096, 4096, true, true},
              {"gate_up", 24576, 4096, false, false},
              {"down", 4096, 12288, true, true}};
    rows = {2048, 4096, 8448};
  } else {
    shapes = {{"qkv", 4096, 1024, false, false},
              {"o", 1024, 2048, true, true},
              {"gate_up", 6144, 1024, false, false},
              {"down", 1024, 3072, true, true}};
    rows = {2048, 4096, 4224, 8192, 8448};
  }
  struct Job {
    Shape shape;
    size_t m;
  };
  std::vector<Job> jobs;
  for (size_t m : rows)
    for (const Shape& s : shapes) jobs.push_back({s, m});
  if (!large) {
    jobs.push_back({{"peak", 8192, 8192, false, false}, 8192});
    for (const Shape& s : shapes) jobs.push_back({s, 8});
    jobs.push_back({{"lm_head", 151936, 1024, true, false}, 32});
    jobs.push_back({{"lm_head", 151936, 1024, true, false}, 128});
  }
  struct Variant {
    const char* name;
    size_t workspace;
    unsigned alignment;
  };
  const Variant variants[] = {{"ws0", 0, 256}, {"ws0-align16", 0, 16}, {"ws32M", kWorkspace, 256}};

  std::printf(
      "shape,m,n,k,variant,index,algo,tile,stages,cluster,split,workspace,waves,us,tflops,"
      "bits\n");
  for (const Job& job : jobs) {
    const Shape& s = job.shape;
    const size_t m = job.m, out_bytes = m * s.n * (s.d_float ? 4 : 2);
    // As many copies of the weights as outgrow the L2: in a search every layer's come from memory.
    const size_t w_bytes = s.n * s.k * 2;
    const size_t copies = std::max<size_t>(1, std::min<size_t>(8, (size_t{160} << 20) / w_bytes));
    unsigned short *a, *w;
    void *d, *first;
    CHECK(cudaMalloc(&a, m * s.k * 2));
    CHECK(cudaMalloc(&w, w_bytes * copies));
    CHECK(cudaMalloc(&d, out_bytes));
    CHECK(cudaMalloc(&first, out_bytes));
    fill<<<1024, 256, 0, stream>>>(a, m * s.k, 1, 3.0f);
    fill<<<1024, 256, 0, stream>>>(w, s.n * s.k * copies, 2, 0.07f);
    CHECK(cudaGetLastError());

    MatmulDesc desc;
    MatrixLayout lw, la, ld;
    lt.matmul_desc_create(&desc, kCompute32F, kFloat32);
    const int transpose = kTranspose, none = kNone, epilogue = kEpilogueDefault;
    lt.matmul_desc_set(desc, kTransA, &transpose, 4);
    lt.matmul_desc_set(desc, kTransB, &none, 4);
    lt.matmul_desc_set(desc, kEpilogue, &epilogue, 4);
    lt.layout_create(&lw, kBfloat16, s.k, s.n, int64_t(s.k));
    lt.layout_create(&la, kBfloat16, s.k, m, int64_t(s.k));
    lt.layout_create(&ld, s.d_float ? kFloat32 : kBfloat16, s.n, m, int64_t(s.n));
    bool have_first = false;
    for (const Variant& v : variants) {
      Preference preference;
      lt.preference_create(&preference);
      const uint64_t limit = v.workspace;
      const uint32_t reduction = kReductionNone;
      lt.preference_set(preference, kMaxWorkspaceBytes, &limit, 8);
      lt.preference_set(preference, kReductionSchemeMask, &reduction, 4);
      for (PreferenceAttribute at :
           {kMinAlignmentA, kMinAlignmentB, kMinAlignmentC, kMinAlignmentD})
        lt.preference_set(preference, at, &v.alignment, 4);
      Heuristic found[16] = {};
      int n = 0;
      const Status status = lt.heuristic(handle, desc, lw, la, ld, ld, preference, 16, found, &n);
      lt.preference_destroy(preference);
      if (status != kSuccess || n == 0)
        std::printf("%s,%zu,%zu,%zu,%s,none,status %d\n", s.name, m, s.n, s.k, v.name, int(status));
      double best = 0, first_rate = 0;
      int best_index = -1;
      const double flops = 2.0 * double(m) * double(s.n) * double(s.k);
      for (int i = 0; i < n; i++) {
        if (found[i].state != kSuccess) continue;
        int config[9] = {};
        for (int attribute = 0; attribute <= 8; attribute++) {
          size_t written = 0;
          const bool small = attribute >= 7;  // uint16_t
          lt.algorithm_get(&found[i].algorithm, AlgorithmAttribute(attribute), &config[attribute],
                           small ? 2 : 4, &written);
        }
        const float alpha = 1, beta = s.add ? 1.0f : 0.0f;
        const auto run = [&](size_t copy) {
          return lt.matmul(handle, desc, &alpha, w + copy * s.n * s.k, lw, a, la, &beta, d, ld, d,
                           ld, &found[i].algorithm, workspace, found[i].workspace, stream);
        };
        CHECK(cudaMemsetAsync(d, 0, out_bytes, stream));
        const Status ran = run(0);
        if (ran != kSuccess) {
          std::printf("%s,%zu,%zu,%zu,%s,%d,failed with status %d\n", s.name, m, s.n, s.k, v.name,
                      i, int(ran));
          continue;
        }
        const char* bits = "first";
        char text[32];
        if (!have_first) {
          CHECK(cudaMemcpyAsync(first, d, out_bytes, cudaMemcpyDeviceToDevice, stream));
          have_first = true;
        } else {
          unsigned long long differences = 0;
          CHECK(cudaMemsetAsync(count, 0, 8, stream));
          differ<<<1024, 256, 0, stream>>>((unsigned*)first, (unsigned*)d, out_bytes / 4, count);
          CHECK(cudaMemcpyAsync(&differences, count, 8, cudaMemcpyDeviceToHost, stream));
          CHECK(cudaStreamSynchronize(stream));
          std::snprintf(text, sizeof text, "%llu", differences);
          bits = differences == 0 ? "same" : text;
        }
        const int runs = int(std::clamp(3e-3 / (flops / 600e12), 4.0, 40.0));
        for (int r = 0; r < 2; r++) run(r % copies);
        float ms = 0, shortest = 1e9f;
        for (int repeat = 0; repeat < 3; repeat++) {
          CHECK(cudaEventRecord(from, stream));
          for (int r = 0; r < runs; r++) run(r % copies);
          CHECK(cudaEventRecord(to, stream));
          CHECK(cudaEventSynchronize(to));
          CHECK(cudaEventElapsedTime(&ms, from, to));
          shortest = std::min(shortest, ms);
        }
        const double us = 1e3 * shortest / runs, rate = flops / us * 1e-6;
        if (i == 0) first_rate = rate;
        if (rate > best) best = rate, best_index = i;
        std::printf("%s,%zu,%zu,%zu,%s,%d,%d,%d,%d,%d,%d,%zu,%.2f,%.1f,%.1f,%s\n", s.name, m, s.n,
                    s.k, v.name, i, config[0], config[1], config[6], config[8], config[2],
                    found[i].workspace, found[i].waves, us, rate, bits);
      }
      std::printf("## %-8s m %5zu %-11s first %6.1f best %6.1f TFLOP/s (candidate %d of %d)\n",
                  s.name, m, v.name, first_rate, best, best_index, n);
      std::fflush(stdout);
    }
    lt.layout_destroy(lw);
    lt.layout_destroy(la);
    lt.layout_destroy(ld);
    lt.matmul_desc_destroy(desc);
    CHECK(cudaStreamSynchronize(stream));
    cudaFree(a);
    cudaFree(w);
    cudaFree(d);
    cudaFree(first);
  }
  return 0;
}
