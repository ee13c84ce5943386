// loadModel of lib/binding.ts.
#pragma once

#include <napi.h>

namespace proofmill {

Napi::Value load_model(const Napi::CallbackInfo& info);

}  // namespace proofmill
