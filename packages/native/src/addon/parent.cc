#include "parent.h"

#include "arguments.h"

#if defined(__linux__)
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#endif

namespace proofmill {

Napi::Value end_with_parent(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const uint64_t parent = integer(info[0], "parent", INT32_MAX);
#if defined(__linux__)
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail("prctl(PR_SET_PDEATHSIG) failed");
    // It may have ended before that was said: then somebody else is the parent by now.
    if (static_cast<uint64_t>(getppid()) != parent) raise(SIGKILL);
#else
    (void)parent;
#endif
    return info.Env().Undefined();
  });
}

}  // namespace proofmill
