#include "kernels.h"

namespace proofmill {

#if defined(__x86_64__)
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
  static const Kernels* const all[] = {&avx2::table, &baseline::table};
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  *count = has_avx2 ? 2 : 1;
  return has_avx2 ? all : all + 1;
#else
  static const Kernels* const all[] = {&neon::table};
  *count = 1;
  return all;
#endif
}

}  // namespace proofmill
