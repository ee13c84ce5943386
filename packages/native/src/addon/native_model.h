// A loaded model as JavaScript sees it: NativeModel of lib/binding.ts, which says what its methods
// do.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "engine/prefill_queue.h"
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

  Napi::Value arithmetic(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value preferred_tokens(const Napi::CallbackInfo& info);
  Napi::Value longest(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value on_progress(const Napi::CallbackInfo& info);
  Napi::Value reference_logits(const Napi::CallbackInfo& info);
  Napi::Value reference_artifacts(const Napi::CallbackInfo& info);
  Napi::Value stage_seconds(const Napi::CallbackInfo& info);
  Napi::Value peak_flops(const Napi::CallbackInfo& info);
  Napi::Value memory_in_use(const Napi::CallbackInfo& info);
  Napi::Value memory_left(const Napi::CallbackInfo& info);
  Napi::Value pass_bytes(const Napi::CallbackInfo& info);
  Napi::Value time_stages(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  // Of the model while it is open.
  Prefill& prefill() const { return queue_->prefill(); }
  // Throws while a job runs: what reaches past the queue must not meet the queue's thread there.
  void require_idle(const char* what) const;
  void settle_job(Napi::Env env, uint64_t ticket, const Result& result);

  Napi::Reference<Napi::Int32Array> progress_;  // which the model writes to, so that it goes last
  Config config_;
  TensorMap tensors_;  // for the reference path; the mapping costs no memory until it is read
  Precision precision_ = Precision::float32;
  std::string arithmetic_, device_;
  size_t preferred_tokens_ = 1;
  Napi::ThreadSafeFunction to_js_;
  std::unique_ptr<PrefillQueue> queue_;  // null once closed
  std::unordered_map<uint64_t, Napi::Promise::Deferred> pending_;
  uint64_t next_ticket_ = 0;
  Napi::FunctionReference listener_;
  std::atomic<bool> watched_{false};
};

}  // namespace proofmill
