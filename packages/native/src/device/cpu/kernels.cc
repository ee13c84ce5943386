#include "kernels.h"

namespace proofmill {

#if defined(__x86_64__)
namespace avx512_bf16 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
namespace avx2 {
extern const Kernels table;
}
namespace baseline {
extern const Kernels table;
}
#elif defined(__aarch64__)
namespace neon {
extern const Kernels table;
}
#else
#error "proofmill's CPU backend knows x86-64 and 64-bit Arm"
#endif

const Kernels* const* available_kernels(size_t* count) {
#if defined(__x86_64__)
  static const Kernels* const all[] = {&avx512_bf16::table, &avx512::table, &avx2::table,
                                       &baseline::table};
  __builtin_cpu_init();
  // An ISA of the list implies those after it.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool avx512_bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  *count = size_t{1} + avx2 + avx512 + avx512_bf16;
  return all + 4 - *count;
#else
  static const Kernels* const all[] = {&neon::table};
  *count = 1;
  return all;
#endif
}

}  // namespace proofmill
