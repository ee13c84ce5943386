// What the addon exports: Addon of lib/binding.ts.
//
// This folder is the border to JavaScript, and the only one that knows Node-API. Every C++
// exception becomes a JavaScript Error, and every promise that is made here is settled.
#include "arguments.h"
#include "compare_operations.h"
#include "device/cuda/library.h"
#include "load_model.h"
#include "native_model.h"
#include "options.h"
#include "parent.h"
#include "protocol_numbers.h"

namespace proofmill {

namespace {

Napi::Value count_cuda_devices(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    return Napi::Number::New(info.Env(), cuda_device_count(text(info[0], "library")));
  });
}

Napi::Value describe_device(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const std::unique_ptr<Backend> backend = read_device(object(info[0], "options")).open();
    Napi::Object device = Napi::Object::New(info.Env());
    device.Set("device", backend->device());
    device.Set("arithmetic", backend->arithmetic());
    device.Set("memoryInUse", static_cast<double>(backend->memory_in_use()));
    device.Set("memoryLeft", backend->memory_left());
    return device;
  });
}

Napi::Value isas(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const std::vector<std::string> names = cpu_isas();
    Napi::Array array = Napi::Array::New(info.Env(), names.size());
    for (uint32_t i = 0; i < names.size(); i++) array.Set(i, names[i]);
    return array;
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  // Its constructor, for load_model.
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(NativeModel::define(env))));
  const auto define = [&](const char* name, auto fn) {
    exports.Set(name, Napi::Function::New(env, fn, name));
  };
  define("loadModel", load_model);
  define("compareOperations", compare_operations);
  define("cudaDeviceCount", count_cuda_devices);
  define("describeDevice", describe_device);
  define("isas", isas);
  define("endWithParent", end_with_parent);
  export_protocol_numbers(env, exports);
  return exports;
}

NODE_API_MODULE(proofmill, init)

}  // namespace

}  // namespace proofmill
