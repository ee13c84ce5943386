// What a session asks for, from JavaScript's objects, and what happened to it, as theirs.
#pragma once

#include <napi.h>

#include <vector>

#include "engine/sessions.h"

namespace proofmill {

// Each throws an Error that names the field that is wrong.
SessionLimits read_session_limits(const Napi::Object& js);
SessionRequest read_session(const Napi::Object& js);

// NativeSessionEvent[] of lib/binding.ts.
Napi::Array to_js(Napi::Env env, const std::vector<SessionEvent>& events);

}  // namespace proofmill
