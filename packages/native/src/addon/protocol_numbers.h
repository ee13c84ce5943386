// The numbers of the protocol one by one, as the functions of lib/binding.ts say: for tests.
#pragma once

#include <napi.h>

namespace proofmill {

// Adds them to the addon's exports.
void export_protocol_numbers(Napi::Env env, Napi::Object exports);

}  // namespace proofmill
