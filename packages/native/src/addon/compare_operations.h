// compareOperations of lib/binding.ts.
#pragma once

#include <napi.h>

namespace proofmill {

Napi::Value compare_operations(const Napi::CallbackInfo& info);

}  // namespace proofmill
