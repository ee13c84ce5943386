#include "compare_operations.h"

#include <utility>
#include <vector>

#include "device/compare.h"
#include "options.h"

namespace proofmill {

namespace {

class CompareWorker : public Napi::AsyncWorker {
 public:
  CompareWorker(Napi::Env env, DeviceOptions options)
      : Napi::AsyncWorker(env), options_(std::move(options)), deferred_(env) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    const std::unique_ptr<Backend> backend = options_.open();
    // The CPU is compared with its own plainest instructions.
    const std::string isa = options_.cuda_library.empty() ? cpu_isas().back() : "";
    const auto reference = make_cpu_backend(options_.precision, 1, isa);
    checks_ = compare_operations(*backend, *reference, options_.precision);
  }
  void OnOK() override {
    Napi::Array array = Napi::Array::New(Env(), checks_.size());
    for (uint32_t i = 0; i < checks_.size(); i++) {
      Napi::Object row = Napi::Object::New(Env());
      row.Set("operation", checks_[i].operation);
      row.Set("shape", checks_[i].shape);
      row.Set("error", checks_[i].error);
      row.Set("allowed", checks_[i].allowed);
      row.Set("holds", checks_[i].holds());
      array.Set(i, row);
    }
    deferred_.Resolve(array);
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  const DeviceOptions options_;
  std::vector<OperationCheck> checks_;
  Napi::Promise::Deferred deferred_;
};

}  // namespace

Napi::Value compare_operations(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    auto* worker = new CompareWorker(info.Env(), read_device(object(info[0], "options")));
    const Napi::Promise promise = worker->promise();
    worker->Queue();  // deletes itself
    return promise;
  });
}

}  // namespace proofmill
