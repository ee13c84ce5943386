#include "arguments.h"

#include <cmath>
#include <cstring>
#include <type_traits>

namespace proofmill {

namespace {

template <class Array, napi_typedarray_type type>
auto typed(const Napi::Value& value, const char* name, const char* kind) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    fail("%s must be a %s", name, kind);
  }
  const Array array = value.As<Array>();
  return std::vector<std::remove_cv_t<std::remove_pointer_t<decltype(array.Data())>>>(
      array.Data(), array.Data() + array.ElementLength());
}

}  // namespace

Napi::Value field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) fail("%s is missing", name);
  return value;
}

uint64_t integer(const Napi::Value& value, const char* name, uint64_t greatest) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number >= 0 && number <= static_cast<double>(greatest)) || number != std::floor(number)) {
    fail("%s must be an integer between 0 and %llu", name,
         static_cast<unsigned long long>(greatest));
  }
  return static_cast<uint64_t>(number);
}

uint32_t seed_of(const Napi::Value& value, const char* name) {
  return static_cast<uint32_t>(integer(value, name, UINT32_MAX));
}

std::string text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) fail("%s must be a string", name);
  return value.As<Napi::String>().Utf8Value();
}

std::vector<uint32_t> seeds(const Napi::Value& value, const char* name) {
  return typed<Napi::Uint32Array, napi_uint32_array>(value, name, "Uint32Array");
}

std::vector<float> floats(const Napi::Value& value, const char* name) {
  return typed<Napi::Float32Array, napi_float32_array>(value, name, "Float32Array");
}

std::vector<double> doubles(const Napi::Value& value, const char* name) {
  return typed<Napi::Float64Array, napi_float64_array>(value, name, "Float64Array");
}

bool flag(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) fail("%s must be a boolean", name);
  return value.As<Napi::Boolean>().Value();
}

Napi::Object object(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) fail("%s must be an object", name);
  return value.As<Napi::Object>();
}

Napi::Value to_js(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

Napi::Value to_js(Napi::Env env, const std::vector<uint32_t>& values) {
  Napi::Uint32Array array = Napi::Uint32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(uint32_t));
  return array;
}

}  // namespace proofmill
