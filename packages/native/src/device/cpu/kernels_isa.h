// What each ISA's build of the kernels defines.
#pragma once

#include "kernels.h"

#ifndef PROOFMILL_ISA
#error "PROOFMILL_ISA must name the namespace of this build"
#endif

namespace proofmill::PROOFMILL_ISA {

void inputs(uint32_t seed, size_t n, size_t begin, size_t end, bool round_bf16, float* out);
void rms_norm(const float* x, size_t x_stride, size_t rows, size_t width, const float* weight,
              float eps, Storage storage, void* out, size_t out_stride);
void reflect_rms_norm(float* x, size_t rows, size_t width, const float* v, const float* weight,
                      float eps, Storage storage, void* out, size_t out_stride);
void gemm(const GemmBlock& block);
bool dot_is_fma();
float peak(size_t rounds);
float dot_peak(size_t rounds);
uint32_t read(const char* memory, size_t bytes);
size_t attention_scratch_floats(size_t keys, size_t head_dim);
size_t kv_page_bytes(size_t keys, size_t head_dim, bool exact);
void pack_kv(const AttentionHead& head);
void attend(const AttentionHead& head);

}  // namespace proofmill::PROOFMILL_ISA
