#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "device/error.h"

namespace proofmill::cpu {

namespace {

constexpr size_t kHugePage = 2 << 20;

}  // namespace

Buffer allocate(size_t bytes) {
  // Products walk through weights and activations by thousands of pages.
  const bool huge = bytes >= 2 * kHugePage;
  const size_t alignment = huge ? kHugePage : 64;
  const size_t rounded = std::max<size_t>((bytes + 63) / 64 * 64, 64);
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, rounded) != 0) {
    fail("out of memory: %zu bytes for the model could not be had", rounded);
  }
#ifdef MADV_HUGEPAGE
  if (huge) madvise(memory, rounded, MADV_HUGEPAGE);  // as good without, only slower
#endif
  return {{memory, std::free}, rounded};
}

}  // namespace proofmill::cpu
