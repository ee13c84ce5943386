// The border between JavaScript and the runner: the only file that knows Node-API.
//
// Types, sizes and bounds are checked here; what they mean was checked in TypeScript. Every C++
// exception becomes a JavaScript Error, and every promise made here is settled.
#define NAPI_CPP_EXCEPTIONS
#include <napi.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "device/compare.h"
#include "device/cuda/library.h"
#include "device/distance.h"
#include "device/error.h"
#include "device/random.h"
#include "engine/runner.h"
#include "model/reference.h"

namespace proofmill {
namespace {

// --- Reading arguments ---

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

template <class Array, napi_typedarray_type type>
auto typed(const Napi::Value& value, const char* name, const char* kind) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    fail("%s must be a %s", name, kind);
  }
  const Array array = value.As<Array>();
  return std::vector<std::remove_cv_t<std::remove_pointer_t<decltype(array.Data())>>>(
      array.Data(), array.Data() + array.ElementLength());
}

std::vector<uint32_t> seeds(const Napi::Value& value, const char* name) {
  return typed<Napi::Uint32Array, napi_uint32_array>(value, name, "Uint32Array");
}

std::vector<float> floats(const Napi::Value& value, const char* name) {
  return typed<Napi::Float32Array, napi_float32_array>(value, name, "Float32Array");
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

Config read_config(const Napi::Object& js) {
  const auto flag = [&](const char* name) {
    const Napi::Value value = field(js, name);
    if (!value.IsBoolean()) fail("%s must be a boolean", name);
    return value.As<Napi::Boolean>().Value();
  };
  Config config;
  for (const auto& [name, member, greatest] : kConfigSizes) {
    config.*member = static_cast<size_t>(integer(field(js, name), name, greatest));
  }
  const Napi::Value eps = field(js, "rms_norm_eps");
  if (!eps.IsNumber()) fail("rms_norm_eps must be a number");
  config.rms_norm_eps = eps.As<Napi::Number>().FloatValue();
  config.rope_inv_freq = typed<Napi::Float64Array, napi_float64_array>(
      field(js, "rope_inv_freq"), "rope_inv_freq", "Float64Array");
  config.qk_norm = flag("qk_norm");
  config.qkv_bias = flag("qkv_bias");
  config.tie_word_embeddings = flag("tie_word_embeddings");
  config.check();
  return config;
}

ModelNeeds read_needs(const Napi::Object& js) {
  const auto count = [](const Napi::Object& of, const char* name) {
    return static_cast<size_t>(integer(field(of, name), name, uint64_t{1} << 53));
  };
  const auto footprint = [&](const char* name) {
    const Napi::Object of = field(js, name).As<Napi::Object>();
    return Footprint{count(of, "elements"), count(of, "floats")};
  };
  ModelNeeds needs;
  needs.weights = footprint("weights");
  needs.token = footprint("token");
  needs.sequence = footprint("sequence");
  needs.position = footprint("position");
  needs.usual_length = count(js, "usual_length");
  return needs;
}

TensorMap read_tensors(const Napi::Object& js) {
  std::unordered_map<std::string, std::shared_ptr<const MappedFile>> files;
  TensorMap tensors;
  const Napi::Array names = js.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = text(names.Get(i), "tensor name");
    const Napi::Object entry = js.Get(name).As<Napi::Object>();
    Tensor tensor;
    tensor.name = name;
    tensor.dtype = parse_dtype(text(field(entry, "dtype"), "dtype"));
    const Napi::Value shape = field(entry, "shape");
    if (!shape.IsArray()) fail("tensor %s: shape must be an array", name.c_str());
    const Napi::Array extents = shape.As<Napi::Array>();
    for (uint32_t d = 0; d < extents.Length(); d++) {
      tensor.shape.push_back(integer(extents.Get(d), "shape", UINT32_MAX));
    }
    if (tensor.shape.empty() || tensor.shape.size() > 2) {
      fail("tensor %s: expected one or two dimensions, not %zu", name.c_str(), tensor.shape.size());
    }
    const Napi::Value seed = entry.Get("seed");
    if (!seed.IsUndefined()) {
      tensor.seed = seed_of(seed, "seed");
      tensors.emplace(name, std::move(tensor));
      continue;
    }
    const std::string path = text(field(entry, "file"), "file");
    std::shared_ptr<const MappedFile>& file = files[path];
    if (!file) file = std::make_shared<MappedFile>(path);
    tensor.file = file;
    tensor.offset = integer(field(entry, "offset"), "offset", uint64_t{1} << 53);
    const uint64_t bytes = tensor.elements() * size_of(tensor.dtype);
    if (tensor.offset > file->size() || bytes > file->size() - tensor.offset) {
      fail("%s: tensor %s ends at byte %llu, past the end of the file at %zu", path.c_str(),
           name.c_str(), static_cast<unsigned long long>(tensor.offset + bytes), file->size());
    }
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

// Where a model runs. What the other kind of device needs is not looked at.
struct DeviceOptions {
  Precision precision;
  size_t threads;            // CPU
  std::string isa;           // CPU; empty: the best
  PassLimits limits;         // CPU
  std::string cuda_library;  // empty: CPU
  int cuda_device;
  double gpu_memory_utilization;

  std::unique_ptr<Backend> open() const {
    if (cuda_library.empty()) return make_cpu_backend(precision, threads, isa, limits);
    return make_cuda_backend(cuda_library, {precision, cuda_device, gpu_memory_utilization});
  }
};

struct LoadOptions {
  Config config;
  ModelNeeds needs;
  TensorMap tensors;
  DeviceOptions device;
};

DeviceOptions read_device(const Napi::Object& js) {
  const std::string dtype = text(field(js, "dtype"), "dtype");
  if (dtype != "bfloat16" && dtype != "float32") {
    fail("dtype must be bfloat16 or float32, not '%s'", dtype.c_str());
  }
  const Precision precision = dtype == "bfloat16" ? Precision::bfloat16 : Precision::float32;
  const size_t threads = static_cast<size_t>(integer(field(js, "threads"), "threads", 1024));
  const Napi::Value isa = js.Get("isa"), cuda = js.Get("cuda");
  DeviceOptions options{precision, threads, isa.IsUndefined() ? "" : text(isa, "isa"), {}, "",
                        0,         0};
  if (cuda.IsUndefined()) return options;
  if (!cuda.IsObject()) fail("cuda must be an object");
  const Napi::Object of = cuda.As<Napi::Object>();
  options.cuda_library = text(field(of, "library"), "library");
  options.cuda_device = static_cast<int>(integer(field(of, "device"), "device", 1024));
  const Napi::Value utilization = field(of, "memoryUtilization");
  options.gpu_memory_utilization =
      utilization.IsNumber() ? utilization.As<Napi::Number>().DoubleValue() : 0;
  if (!(options.gpu_memory_utilization > 0 && options.gpu_memory_utilization <= 1)) {
    fail("memoryUtilization must be more than 0 and at most 1");
  }
  return options;
}

LoadOptions read_options(const Napi::Object& js) {
  LoadOptions options{read_config(field(js, "config").As<Napi::Object>()),
                      read_needs(field(js, "needs").As<Napi::Object>()),
                      read_tensors(field(js, "tensors").As<Napi::Object>()), read_device(js)};
  const Napi::Object limits = field(js, "cpuPass").As<Napi::Object>();
  const auto limit = [&](const char* name) {
    return static_cast<size_t>(integer(field(limits, name), name, UINT32_MAX));
  };
  options.device.limits = {limit("tokens"), limit("sequences")};
  return options;
}

Job read_job(const Napi::Object& js) {
  Job job;
  job.id = integer(field(js, "id"), "id", uint64_t{1} << 53);
  job.seq_len = static_cast<size_t>(integer(field(js, "seq_len"), "seq_len", UINT32_MAX));
  job.input_seeds = seeds(field(js, "input_seeds"), "input_seeds");
  const Napi::Object output = field(js, "output").As<Napi::Object>();
  const std::string kind = text(field(output, "kind"), "output.kind");
  if (kind == "distance") {
    job.output.kind = OutputKind::distance;
    job.output.permutation_seeds = seeds(field(output, "permutation_seeds"), "permutation_seeds");
    job.output.target_seed = seed_of(field(output, "target_seed"), "target_seed");
  } else if (kind == "logits") {
    job.output.kind = OutputKind::logits;
  } else if (kind == "hidden") {
    job.output.kind = OutputKind::hidden;
  } else {
    fail("output.kind must be distance, logits or hidden, not '%s'", kind.c_str());
  }
  return job;
}

// --- The model as JavaScript sees it ---

class NativeModel : public Napi::ObjectWrap<NativeModel> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeModel",
        {InstanceAccessor<&NativeModel::arithmetic>("arithmetic"),
         InstanceAccessor<&NativeModel::device>("device"),
         InstanceAccessor<&NativeModel::preferred_tokens>("preferredTokens"),
         InstanceAccessor<&NativeModel::longest>("longest"),
         InstanceMethod<&NativeModel::run>("run"), InstanceMethod<&NativeModel::cancel>("cancel"),
         InstanceMethod<&NativeModel::on_progress>("onProgress"),
         InstanceMethod<&NativeModel::reference_logits>("referenceLogits"),
         InstanceMethod<&NativeModel::stage_seconds>("stageSeconds"),
         InstanceMethod<&NativeModel::time_stages>("timeStages"),
         InstanceMethod<&NativeModel::memory_in_use>("memoryInUse"),
         InstanceMethod<&NativeModel::memory_left>("memoryLeft"),
         InstanceMethod<&NativeModel::pass_bytes>("passBytes"),
         InstanceMethod<&NativeModel::peak_flops>("peakFlops"),
         InstanceMethod<&NativeModel::close>("close")});
  }

  explicit NativeModel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeModel>(info) {}

  ~NativeModel() override {
    if (!runner_) return;
    runner_.reset();
    to_js_.Release();
  }

  void open(Napi::Env env, LoadOptions options, Model model) {
    config_ = options.config;
    tensors_ = std::move(options.tensors);
    precision_ = options.device.precision;
    arithmetic_ = model.backend().arithmetic();
    device_ = model.backend().device();
    preferred_tokens_ = model.preferred_tokens();
    // Called from the runner's thread, run on JavaScript's. Unreferenced while no job is pending,
    // so that an idle model keeps no process alive.
    to_js_ = Napi::ThreadSafeFunction::New(
        env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "proofmill", 0, 1);
    to_js_.Unref(env);
    runner_ = std::make_unique<Runner>(
        std::move(model),
        [this](uint64_t ticket, Result result) {
          auto* owned = new Result(std::move(result));
          const auto settle = [this, ticket](Napi::Env js, Napi::Function, Result* data) {
            const std::unique_ptr<Result> own(data);
            if (static_cast<napi_env>(js) != nullptr) settle_job(js, ticket, *own);
          };
          if (to_js_.NonBlockingCall(owned, settle) != napi_ok) delete owned;
        },
        [this](size_t layers) {
          if (!watched_.load(std::memory_order_relaxed)) return;
          to_js_.NonBlockingCall([this, layers](Napi::Env js, Napi::Function) {
            if (static_cast<napi_env>(js) == nullptr || listener_.IsEmpty()) return;
            listener_.Call({Napi::Number::New(js, static_cast<double>(layers))});
          });
        });
  }

 private:
  Napi::Value arithmetic(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), arithmetic_);
  }
  Napi::Value device(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), device_);
  }
  Napi::Value preferred_tokens(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(preferred_tokens_));
  }

  Napi::Value longest(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(config_.longest()));
  }

  // A fault of the job itself is thrown at once; later ones reject the promise.
  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      if (!runner_) throw Error("the model is closed");
      if (!info[0].IsObject()) fail("job must be an object");
      const uint64_t ticket = next_ticket_++;
      auto deferred = Napi::Promise::Deferred::New(info.Env());
      runner_->submit(ticket, read_job(info[0].As<Napi::Object>()));
      if (pending_.empty()) {
        to_js_.Ref(info.Env());
        Ref();  // the object outlives its jobs
      }
      pending_.emplace(ticket, deferred);
      return deferred.Promise();
    });
  }

  Napi::Value cancel(const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      if (runner_) runner_->cancel(integer(info[0], "id", uint64_t{1} << 53));
      return info.Env().Undefined();
    });
  }

  Napi::Value on_progress(const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      if (!info[0].IsFunction()) fail("listener must be a function");
      listener_ = Napi::Persistent(info[0].As<Napi::Function>());
      watched_.store(true, std::memory_order_relaxed);
      return info.Env().Undefined();
    });
  }

  Napi::Value reference_logits(const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      const size_t seq_len =
          static_cast<size_t>(integer(info[0], "seq_len", config_.max_position_embeddings));
      if (seq_len < 1) fail("seq_len must be at least 1");
      return to_js(info.Env(), reference_logits_of(seq_len, seed_of(info[1], "input_seed")));
    });
  }
  std::vector<float> reference_logits_of(size_t seq_len, uint32_t seed) const {
    return proofmill::reference_logits(config_, tensors_, precision_, seq_len, seed);
  }

  Napi::Value stage_seconds(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      require_idle("stage times can be read");
      static constexpr const char* kNames[kStages] = {"inputs", "qkv",  "attention", "o",
                                                      "mlp",    "head", "distance"};
      Napi::Object seconds = Napi::Object::New(info.Env());
      for (size_t i = 0; i < kStages; i++) {
        seconds.Set(kNames[i], Napi::Number::New(info.Env(), runner_->model().stage_seconds()[i]));
      }
      return seconds;
    });
  }

  Napi::Value peak_flops(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      require_idle("the peak can be measured");
      return Napi::Number::New(info.Env(), runner_->model().backend().peak_flops());
    });
  }

  Napi::Value memory_in_use(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      require_idle("the device's memory can be asked for");
      const double bytes = static_cast<double>(runner_->model().backend().memory_in_use());
      return Napi::Number::New(info.Env(), bytes);
    });
  }

  Napi::Value memory_left(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      require_idle("the device's memory can be asked for");
      return Napi::Number::New(info.Env(), runner_->model().backend().memory_left());
    });
  }

  // What it looks at never changes, so a job may run.
  Napi::Value pass_bytes(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      if (!runner_) throw Error("the model is closed");
      const size_t seq_len = static_cast<size_t>(integer(info[0], "seq_len", config_.longest()));
      if (seq_len < 1) fail("seq_len must be at least 1");
      const double bytes = static_cast<double>(runner_->model().pass_bytes(seq_len));
      return Napi::Number::New(info.Env(), bytes);
    });
  }

  Napi::Value time_stages(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      require_idle("stage times can be switched");
      if (!info[0].IsBoolean()) fail("on must be a boolean");
      runner_->model().time_stages(info[0].As<Napi::Boolean>().Value());
      return info.Env().Undefined();
    });
  }

  // What reaches past the runner into the model must not meet the runner's thread there.
  void require_idle(const char* what) const {
    if (!runner_) throw Error("the model is closed");
    if (!pending_.empty()) fail("%s only while no job runs", what);
  }

  // Ends the runner soon, off JavaScript's thread; jobs that it cuts settle too.
  Napi::Value close(const Napi::CallbackInfo& info) {
    return guarded(info, [&]() -> Napi::Value {
      auto* worker = new CloseWorker(info.Env(), *this, std::move(runner_));
      const Napi::Promise promise = worker->promise();
      worker->Queue();  // deletes itself
      return promise;
    });
  }

  class CloseWorker : public Napi::AsyncWorker {
   public:
    CloseWorker(Napi::Env env, NativeModel& owner, std::unique_ptr<Runner> runner)
        : Napi::AsyncWorker(env), owner_(owner), runner_(std::move(runner)), deferred_(env) {
      owner_.Ref();
    }
    Napi::Promise promise() const { return deferred_.Promise(); }

   protected:
    void Execute() override {
      open_ = runner_ != nullptr;
      runner_.reset();
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
    std::unique_ptr<Runner> runner_;
    bool open_ = false;
    Napi::Promise::Deferred deferred_;
  };

  void settle_job(Napi::Env env, uint64_t ticket, const Result& result) {
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
    if (pending_.empty()) {
      if (runner_) to_js_.Unref(env);
      Unref();
    }
  }

  Config config_;
  TensorMap tensors_;  // for the reference path; the mapping costs no memory until it is read
  Precision precision_ = Precision::float32;
  std::string arithmetic_, device_;
  size_t preferred_tokens_ = 1;
  Napi::ThreadSafeFunction to_js_;
  std::unique_ptr<Runner> runner_;
  std::unordered_map<uint64_t, Napi::Promise::Deferred> pending_;
  uint64_t next_ticket_ = 0;
  Napi::FunctionReference listener_;
  std::atomic<bool> watched_{false};
};

// --- Loading ---

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
    const Napi::Object object = Env().GetInstanceData<Napi::FunctionReference>()->New({});
    NativeModel::Unwrap(object)->open(Env(), std::move(options_), std::move(*model_));
    deferred_.Resolve(object);
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  LoadOptions options_;
  Napi::FunctionReference on_layer_;
  std::optional<Model> model_;
  Napi::Promise::Deferred deferred_;
};

Napi::Value load_model(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsObject()) fail("options must be an object");
    Napi::FunctionReference on_layer;
    if (info[1].IsFunction()) on_layer = Napi::Persistent(info[1].As<Napi::Function>());
    auto* worker =
        new LoadWorker(info.Env(), read_options(info[0].As<Napi::Object>()), std::move(on_layer));
    const Napi::Promise promise = worker->promise();
    worker->Queue();  // deletes itself
    return promise;
  });
}

// --- A device's operations against the CPU's ---

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

Napi::Value compare(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    if (!info[0].IsObject()) fail("options must be an object");
    auto* worker = new CompareWorker(info.Env(), read_device(info[0].As<Napi::Object>()));
    const Napi::Promise promise = worker->promise();
    worker->Queue();  // deletes itself
    return promise;
  });
}

// --- The protocol's numbers, one by one, for tests ---

size_t count_of(const Napi::Value& value) {
  return static_cast<size_t>(integer(value, "n", uint64_t{1} << 28));
}

template <class T, class Fn>
Napi::Value series(const Napi::CallbackInfo& info, Fn&& fn) {
  return guarded(info, [&] {
    const uint32_t seed = seed_of(info[0], "seed");
    std::vector<T> out(count_of(info[1]));
    for (size_t i = 0; i < out.size(); i++) out[i] = fn(static_cast<uint32_t>(i), seed);
    return to_js(info.Env(), out);
  });
}

Napi::Value inputs(const Napi::CallbackInfo& info, Precision precision, const std::string& isa) {
  const uint32_t seed = seed_of(info[0], "seed");
  std::vector<float> out(count_of(info[1]));
  if (!out.empty()) {
    const auto backend = make_cpu_backend(precision, 1, isa);
    backend->begin({&seed, nullptr, 0, 1}, 0);
    backend->inputs(0, 1, out.size(), out.data());
  }
  return to_js(info.Env(), out);
}

template <float (*fn)(float)>
Napi::Value elementwise(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    std::vector<float> x = floats(info[0], "x");
    for (float& value : x) value = fn(value);
    return to_js(info.Env(), x);
  });
}

float sine(float x) { return rng::sin_cos(x).sin; }
float cosine(float x) { return rng::sin_cos(x).cos; }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Napi::FunctionReference(Napi::Persistent(NativeModel::define(env))));
  const auto define = [&](const char* name, auto fn) {
    exports.Set(name, Napi::Function::New(env, fn, name));
  };
  define("loadModel", load_model);
  define("compareOperations", compare);
  define("hash", [](const Napi::CallbackInfo& info) { return series<uint32_t>(info, rng::hash); });
  define("uniform", [](const Napi::CallbackInfo& info) {
    return series<float>(
        info, [](uint32_t i, uint32_t seed) { return rng::uniform(rng::hash(i, seed)); });
  });
  define("normal", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] { return inputs(info, Precision::float32, ""); });
  });
  define("inputs", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      const bool bf16 = text(info[2], "dtype") == "bfloat16";
      const std::string isa = info[3].IsUndefined() ? "" : text(info[3], "isa");
      return inputs(info, bf16 ? Precision::bfloat16 : Precision::float32, isa);
    });
  });
  define("permutation", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      return to_js(info.Env(), permutation(seed_of(info[0], "seed"), count_of(info[1])));
    });
  });
  define("target", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      return to_js(info.Env(), make_target(seed_of(info[0], "seed"), count_of(info[1])).values);
    });
  });
  define("distance", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      const std::vector<float> logits = floats(info[0], "logits");
      const uint32_t permutation_seed = seed_of(info[1], "permutation_seed");
      const Target target = make_target(seed_of(info[2], "target_seed"), logits.size());
      Ranking ranking;
      return Napi::Number::New(info.Env(),
                               distance(logits.data(), permutation_seed, target, ranking));
    });
  });
  define("distanceReference", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      const std::vector<float> logits = floats(info[0], "logits");
      return Napi::Number::New(info.Env(), distance_reference(logits.data(), logits.size(),
                                                              seed_of(info[1], "permutation_seed"),
                                                              seed_of(info[2], "target_seed")));
    });
  });
  define("ln", elementwise<rng::ln>);
  define("sin", elementwise<sine>);
  define("cos", elementwise<cosine>);
  define("cudaDeviceCount", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      return Napi::Number::New(info.Env(), cuda_device_count(text(info[0], "library")));
    });
  });
  define("isas", [](const Napi::CallbackInfo& info) {
    return guarded(info, [&] {
      const std::vector<std::string> names = cpu_isas();
      Napi::Array array = Napi::Array::New(info.Env(), names.size());
      for (uint32_t i = 0; i < names.size(); i++) array.Set(i, names[i]);
      return array;
    });
  });
  return exports;
}

NODE_API_MODULE(proofmill, init)

}  // namespace
}  // namespace proofmill
