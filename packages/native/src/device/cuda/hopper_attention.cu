// Attention of whole sequences in bfloat16 on Hopper.
#include "hopper_attention.h"

#if defined(__CUDACC__)
#include "hopper_attention.cuh"

namespace proofmill::cuda {

bool hopper_attends(const AttentionArgs<bf16>& args) {
  const auto whole = [](const void* pointer, size_t stride) {
    return reinterpret_cast<uintptr_t>(pointer) % 16 == 0 && stride % 8 == 0;
  };
  return args.queries == args.seq_len && (args.head_dim == 64 || args.head_dim == 128) &&
         whole(args.q, args.q_stride) && whole(args.k, args.kv_stride) &&
         whole(args.v, args.kv_stride) && whole(args.out, args.out_stride);
}

void hopper_attention(const Device& device, const AttentionArgs<bf16>& args) {
  if (args.head_dim == 64) {
    hopper::attend<64>(device, args);
  } else {
    hopper::attend<128>(device, args);
  }
}

}  // namespace proofmill::cuda

#else

// The emulation has none of Hopper's instructions: there `attention` does everything.
namespace proofmill::cuda {

bool hopper_attends(const AttentionArgs<bf16>&) { return false; }
void hopper_attention(const Device& device, const AttentionArgs<bf16>& args) {
  attention(device, args);
}

}  // namespace proofmill::cuda

#endif
