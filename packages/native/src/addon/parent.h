// This process's parent, and what happens when that is gone.
#pragma once

#include <napi.h>

namespace proofmill {

// Addon.endWithParent of lib/binding.ts.
Napi::Value end_with_parent(const Napi::CallbackInfo& info);

}  // namespace proofmill
