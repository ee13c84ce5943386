#include "load_model.h"

#include <optional>
#include <utility>

#include "native_model.h"

namespace proofmill {

namespace {

class LoadWorker : public Napi::AsyncProgressWorker<size_t> {
 public:
  // `on_layer` may be empty.
  LoadWorker(Napi::Env env, LoadOptions options, Napi::FunctionReference on_layer)
      : Napi::AsyncProgressWorker<size_t>(env),
        options_(std::move(options)),
        on_layer_(std::move(on_layer)),
        deferred_(env) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute(const ExecutionProgress& progress) override {
    model_.emplace(options_.config, options_.needs, options_.tensors, options_.device.open(),
                   [&](size_t layers) { progress.Send(&layers, 1); });
  }
  void OnProgress(const size_t* layers, size_t) override {
    if (!on_layer_.IsEmpty())
      on_layer_.Call({Napi::Number::New(Env(), static_cast<double>(*layers))});
  }
  void OnOK() override {
    const Napi::Object made = Env().GetInstanceData<Napi::FunctionReference>()->New({});
    NativeModel::Unwrap(made)->open(Env(), std::move(options_), std::move(*model_));
    deferred_.Resolve(made);
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  LoadOptions options_;
  Napi::FunctionReference on_layer_;
  std::optional<Model> model_;
  Napi::Promise::Deferred deferred_;
};

}  // namespace

Napi::Value load_model(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    Napi::FunctionReference on_layer;
    if (info[1].IsFunction()) on_layer = Napi::Persistent(info[1].As<Napi::Function>());
    auto* worker =
        new LoadWorker(info.Env(), read_options(object(info[0], "options")), std::move(on_layer));
    const Napi::Promise promise = worker->promise();
    worker->Queue();  // deletes itself
    return promise;
  });
}

}  // namespace proofmill
