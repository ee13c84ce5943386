// Attention of whole sequences in bfloat16 on Hopper GPUs (compute capability 9.0): see
// hopper_attention.cuh.
#pragma once

#include "kernels.h"

namespace proofmill::cuda {

// Whether hopper_attention can do these: there is a query for every position, head_dim is 64 or
// 128, and rows and heads begin on 16 bytes. `attention` can do all.
bool hopper_attends(const AttentionArgs<bf16>& args);
void hopper_attention(const Device& device, const AttentionArgs<bf16>& args);

}  // namespace proofmill::cuda
