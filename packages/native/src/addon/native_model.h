// A loaded model as JavaScript sees it: NativeModel of lib/binding.ts, which says what its methods
// do.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "engine/engine.h"
#include "options.h"

namespace proofmill {

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit NativeModel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeModel>(info) {}
  ~NativeModel() override;

  // The constructor, which JavaScript's engine calls, leaves an object without a model; this gives
  // it one.
  void open(Napi::Env env, LoadOptions options, Model model);

 private:
  class CloseWorker;

  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value reference_logits(const Napi::CallbackInfo& info);
  Napi::Value reference_artifacts(const Napi::CallbackInfo& info);
  Napi::Value stage_seconds(const Napi::CallbackInfo& info);
  Napi::Value peak_flops(const Napi::CallbackInfo& info);
  Napi::Value read_bandwidth(const Napi::CallbackInfo& info);
  Napi::Value memory_in_use(const Napi::CallbackInfo& info);
  Napi::Value memory_left(const Napi::CallbackInfo& info);
  Napi::Value pass_bytes(const Napi::CallbackInfo& info);
  Napi::Value time_stages(const Napi::CallbackInfo& info);
  Napi::Value page_bytes(const Napi::CallbackInfo& info);
  Napi::Value open_sessions(const Napi::CallbackInfo& info);
  Napi::Value open_session(const Napi::CallbackInfo& info);
  Napi::Value cancel_session(const Napi::CallbackInfo& info);
  Napi::Value on_session_events(const Napi::CallbackInfo& info);
  Napi::Value session_stats(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  // Throws once the model is closed.
  Engine& engine() const;
  // For what never changes, so that anything may run meanwhile.
  const Model& model() const { return engine().prefill().model(); }
  // Throws while anything runs: what reaches past the engine must not meet its thread there.
  Model& idle_model(const char* what) const;
  void settle_job(Napi::Env env, uint64_t ticket, const Result& result);
  void tell_sessions(Napi::Env env, const std::vector<SessionEvent>& events);
  // A job or a session more, or one less. While there is any, the object and the process stay.
  void begin_work(Napi::Env env);
  void end_work(Napi::Env env);

  Napi::Reference<Napi::Int32Array> progress_;  // which the model writes to, so that it goes last
  Config config_;
  TensorMap tensors_;  // for the reference path; the mapping costs no memory until it is read
  Precision precision_ = Precision::float32;
  Napi::ThreadSafeFunction to_js_;
  std::unique_ptr<Engine> engine_;  // null once closed
  std::unordered_map<uint64_t, Napi::Promise::Deferred> pending_;
  uint64_t next_ticket_ = 0;
  size_t work_ = 0;  // jobs and sessions whose end was not told yet
  Napi::FunctionReference session_listener_;
};

}  // namespace proofmill
