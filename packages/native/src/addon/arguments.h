// Reading what JavaScript passes, and giving values back. Types, sizes and bounds are checked here;
// what they mean was checked in TypeScript.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "device/error.h"

namespace proofmill {

// Each throws an Error that says what `name` must be, where it is something else.
Napi::Value field(const Napi::Object& object, const char* name);
uint64_t integer(const Napi::Value& value, const char* name, uint64_t greatest);  // from 0 on
uint32_t seed_of(const Napi::Value& value, const char* name);
std::string text(const Napi::Value& value, const char* name);
bool flag(const Napi::Value& value, const char* name);
Napi::Object object(const Napi::Value& value, const char* name);
std::vector<uint32_t> seeds(const Napi::Value& value, const char* name);
std::vector<float> floats(const Napi::Value& value, const char* name);
std::vector<double> doubles(const Napi::Value& value, const char* name);

Napi::Value to_js(Napi::Env env, const std::vector<float>& values);
Napi::Value to_js(Napi::Env env, const std::vector<uint32_t>& values);

// Runs a function of ours where JavaScript called it: its exceptions become JavaScript's.
template <class Fn>
Napi::Value guarded(const Napi::CallbackInfo& info, Fn&& fn) {
  try {
    return fn();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
}

}  // namespace proofmill
