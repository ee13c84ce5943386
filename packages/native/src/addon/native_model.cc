#include "native_model.h"

#include <utility>

#include "model/reference.h"
#include "proof/artifact.h"
#include "proof/unit_normals.h"
#include "session_js.h"

namespace proofmill {

namespace {

// A method's answer that is a number, made by `fn`.
template <class Fn>
Napi::Value number(const Napi::CallbackInfo& info, Fn&& fn) {
  return guarded(info, [&] { return Napi::Number::New(info.Env(), static_cast<double>(fn())); });
}

}  // namespace

Napi::Function NativeModel::define(Napi::Env env) {
  return DefineClass(
      env, "NativeModel",
      {InstanceMethod<&NativeModel::run>("run"), InstanceMethod<&NativeModel::cancel>("cancel"),
       InstanceMethod<&NativeModel::reference_logits>("referenceLogits"),
       InstanceMethod<&NativeModel::reference_artifacts>("referenceArtifacts"),
       InstanceMethod<&NativeModel::stage_seconds>("stageSeconds"),
       InstanceMethod<&NativeModel::time_stages>("timeStages"),
       InstanceMethod<&NativeModel::memory_in_use>("memoryInUse"),
       InstanceMethod<&NativeModel::memory_left>("memoryLeft"),
       InstanceMethod<&NativeModel::pass_bytes>("passBytes"),
       InstanceMethod<&NativeModel::peak_flops>("peakFlops"),
       InstanceMethod<&NativeModel::read_bandwidth>("readBandwidth"),
       InstanceMethod<&NativeModel::page_bytes>("pageBytes"),
       InstanceMethod<&NativeModel::open_sessions>("openSessions"),
       InstanceMethod<&NativeModel::open_session>("openSession"),
       InstanceMethod<&NativeModel::cancel_session>("cancelSession"),
       InstanceMethod<&NativeModel::on_session_events>("onSessionEvents"),
       InstanceMethod<&NativeModel::session_stats>("sessionStats"),
       InstanceMethod<&NativeModel::close>("close")});
}

NativeModel::~NativeModel() {
  if (!engine_) return;
  engine_.reset();
  to_js_.Release();
}

void NativeModel::open(Napi::Env env, LoadOptions options, Model model) {
  config_ = options.config;
  tensors_ = std::move(options.tensors);
  progress_ = std::move(options.progress);
  precision_ = options.device.precision;
  const auto constant = [&](const char* name, const auto& value) {
    Value().DefineProperty(Napi::PropertyDescriptor::Value(name, Napi::Value::From(env, value)));
  };
  constant("arithmetic", model.backend().arithmetic());
  constant("device", model.backend().device());
  constant("preferredTokens", model.preferred_tokens());
  constant("stepRows", model.backend().steps().rows);
  constant("stepScratchBytes", model.step_scratch_bytes());
  constant("longest", config_.longest());
  // Called from the engine's thread, run on JavaScript's. Unreferenced while there is no work,
  // so that an idle model keeps no process alive.
  to_js_ = Napi::ThreadSafeFunction::New(
      env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "proofmill", 0, 1);
  to_js_.Unref(env);
  EngineEvents events;
  events.done = [this](uint64_t ticket, Result result) {
    auto* owned = new Result(std::move(result));
    const auto settle = [this, ticket](Napi::Env js, Napi::Function, Result* data) {
      const std::unique_ptr<Result> own(data);
      if (static_cast<napi_env>(js) != nullptr) settle_job(js, ticket, *own);
    };
    if (to_js_.NonBlockingCall(owned, settle) != napi_ok) delete owned;
  };
  events.sessions = [this](std::vector<SessionEvent> happened) {
    auto* owned = new std::vector<SessionEvent>(std::move(happened));
    const auto tell = [this](Napi::Env js, Napi::Function, std::vector<SessionEvent>* data) {
      const std::unique_ptr<std::vector<SessionEvent>> own(data);
      if (static_cast<napi_env>(js) != nullptr) tell_sessions(js, *own);
    };
    if (to_js_.NonBlockingCall(owned, tell) != napi_ok) delete owned;
  };
  engine_ = std::make_unique<Engine>(std::move(model), std::move(events), options.device.threads);
}

// A fault of the job itself is thrown at once; later ones reject the promise.
Napi::Value NativeModel::run(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const uint64_t ticket = next_ticket_++;
    auto deferred = Napi::Promise::Deferred::New(info.Env());
    engine().submit(ticket, read_job(object(info[0], "job")));
    begin_work(info.Env());
    pending_.emplace(ticket, deferred);
    return deferred.Promise();
  });
}

Napi::Value NativeModel::cancel(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    if (engine_) engine_->cancel(integer(info[0], "id", uint64_t{1} << 53));
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::reference_logits(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const size_t seq_len =
        static_cast<size_t>(integer(info[0], "seq_len", config_.max_position_embeddings));
    if (seq_len < 1) fail("seq_len must be at least 1");
    return to_js(info.Env(),
                 proofmill::reference_logits({config_, tensors_, precision_},
                                             {seq_len, {seed_of(info[1], "input_seed")}, {}}));
  });
}

Napi::Value NativeModel::reference_artifacts(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Job job = read_job(object(info[0], "job"));
    const Output& output = job.output;
    if (output.kind != OutputKind::artifact) fail("output.kind must be artifact");
    engine().check(job);
    ReferenceInput input{job.seq_len, {}, {}};
    for (const uint32_t seed : output.layer_seeds) {
      const std::vector<float> v = unit_normals(seed, config_.hidden_size);
      input.reflections.insert(input.reflections.end(), v.begin(), v.end());
    }
    const auto part = [](const std::vector<uint32_t>& all, size_t nonce, size_t each) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(nonce * each);
      return std::vector<uint32_t>(first, first + static_cast<std::ptrdiff_t>(each));
    };
    std::vector<float> artifacts;
    for (size_t i = 0; i < job.batch(); i++) {
      input.seeds = part(job.input_seeds, i, job.input_streams);
      const std::vector<float> hidden = reference_hidden({config_, tensors_, precision_}, input);
      const std::vector<float> one = artifact_reference(
          hidden, output.pick_seeds[i], part(output.rotation_seeds, i, output.k - 1));
      artifacts.insert(artifacts.end(), one.begin(), one.end());
    }
    return to_js(info.Env(), artifacts);
  });
}

Napi::Value NativeModel::stage_seconds(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const auto& each = idle_model("stage times can be read").clock().seconds();
    static constexpr const char* kNames[kStages] = {"inputs", "qkv",     "attention", "o",
                                                    "mlp",    "reflect", "head",      "readout"};
    Napi::Object seconds = Napi::Object::New(info.Env());
    for (size_t i = 0; i < kStages; i++) seconds.Set(kNames[i], each[i]);
    return seconds;
  });
}

Napi::Value NativeModel::peak_flops(const Napi::CallbackInfo& info) {
  return number(info,
                [&] { return idle_model("the peak can be measured").backend().peak_flops(); });
}

Napi::Value NativeModel::read_bandwidth(const Napi::CallbackInfo& info) {
  return number(
      info, [&] { return idle_model("memory's rate can be measured").backend().read_bandwidth(); });
}

Napi::Value NativeModel::memory_in_use(const Napi::CallbackInfo& info) {
  return number(info, [&] {
    return idle_model("the device's memory can be asked for").backend().memory_in_use();
  });
}

Napi::Value NativeModel::memory_left(const Napi::CallbackInfo& info) {
  return number(info, [&] {
    return idle_model("the device's memory can be asked for").backend().memory_left();
  });
}

Napi::Value NativeModel::pass_bytes(const Napi::CallbackInfo& info) {
  return number(info, [&] {
    const size_t seq_len = static_cast<size_t>(integer(info[0], "seq_len", config_.longest()));
    if (seq_len < 1) fail("seq_len must be at least 1");
    return model().pass_bytes(seq_len);
  });
}

Napi::Value NativeModel::time_stages(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    idle_model("stage times can be switched").clock().set_exact(flag(info[0], "on"));
    return info.Env().Undefined();
  });
}

Engine& NativeModel::engine() const {
  if (!engine_) throw Error("the model is closed");
  return *engine_;
}

Model& NativeModel::idle_model(const char* what) const {
  Model& model = engine().prefill().model();
  if (work_ > 0) fail("%s only while no job runs", what);
  return model;
}

class NativeModel::CloseWorker : public Napi::AsyncWorker {
 public:
  CloseWorker(Napi::Env env, NativeModel& owner, std::unique_ptr<Engine> engine)
      : Napi::AsyncWorker(env), owner_(owner), engine_(std::move(engine)), deferred_(env) {
    owner_.Ref();
  }
  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    open_ = engine_ != nullptr;
    engine_.reset();
  }
  void OnOK() override {
    if (open_) {
      owner_.tensors_.clear();
      owner_.to_js_.Release();
    }
    owner_.Unref();
    deferred_.Resolve(Env().Undefined());
  }

 private:
  NativeModel& owner_;
  std::unique_ptr<Engine> engine_;
  bool open_ = false;
  Napi::Promise::Deferred deferred_;
};

// Cuts every job and ends the engine off JavaScript's thread; jobs that are cut settle too.
Napi::Value NativeModel::close(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    auto* worker = new CloseWorker(info.Env(), *this, std::move(engine_));
    const Napi::Promise promise = worker->promise();
    worker->Queue();  // deletes itself
    return promise;
  });
}

void NativeModel::settle_job(Napi::Env env, uint64_t ticket, const Result& result) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  const Napi::HandleScope scope(env);
  const Napi::Promise::Deferred deferred = found->second;
  pending_.erase(found);
  if (result.error.empty()) {
    Napi::Object value = Napi::Object::New(env);
    value.Set("completed", Napi::Number::New(env, static_cast<double>(result.completed)));
    value.Set("values", to_js(env, result.values));
    deferred.Resolve(value);
  } else {
    const Napi::Error error = Napi::Error::New(env, result.error);
    if (result.device_lost) error.Set("code", Napi::String::New(env, "DEVICE_LOST"));
    deferred.Reject(error.Value());
  }
  end_work(env);
}

void NativeModel::begin_work(Napi::Env env) {
  if (work_++ > 0) return;
  to_js_.Ref(env);
  Ref();
}

void NativeModel::end_work(Napi::Env env) {
  if (--work_ > 0) return;
  if (engine_) to_js_.Unref(env);
  Unref();
}

// --- Token sessions ---

Napi::Value NativeModel::page_bytes(const Napi::CallbackInfo& info) {
  return number(info, [&] { return model().page_bytes(); });
}

Napi::Value NativeModel::open_sessions(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    idle_model("room for sessions can be taken");
    engine().open_sessions(read_session_limits(object(info[0], "limits")));
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::open_session(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    engine().open_session(read_session(object(info[0], "session")));
    begin_work(info.Env());
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::cancel_session(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    if (engine_) engine_->cancel_session(integer(info[0], "id", uint64_t{1} << 53));
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::on_session_events(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    if (!info[0].IsFunction()) fail("listener must be a function");
    session_listener_ = Napi::Persistent(info[0].As<Napi::Function>());
    return info.Env().Undefined();
  });
}

Napi::Value NativeModel::session_stats(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const SessionStats stats = engine().session_stats();
    Napi::Object js = Napi::Object::New(info.Env());
    js.Set("pages", static_cast<double>(stats.pages));
    js.Set("pages_in_use", static_cast<double>(stats.pages_in_use));
    js.Set("running", static_cast<double>(stats.running));
    js.Set("waiting", static_cast<double>(stats.waiting));
    js.Set("preempted", static_cast<double>(stats.preempted));
    return js;
  });
}

void NativeModel::tell_sessions(Napi::Env env, const std::vector<SessionEvent>& events) {
  const Napi::HandleScope scope(env);
  if (!session_listener_.IsEmpty()) session_listener_.Call({to_js(env, events)});
  for (const SessionEvent& event : events) {
    if (event.finish != Finish::none) end_work(env);
  }
}

}  // namespace proofmill
