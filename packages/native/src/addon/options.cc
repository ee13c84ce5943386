#include "options.h"

#include <unordered_map>

#include "device/cuda/library.h"

namespace proofmill {

namespace {

Config read_config(const Napi::Object& js) {
  Config config;
  for (const auto& [name, member, greatest] : kConfigSizes) {
    config.*member = static_cast<size_t>(integer(field(js, name), name, greatest));
  }
  const Napi::Value eps = field(js, "rms_norm_eps");
  if (!eps.IsNumber()) fail("rms_norm_eps must be a number");
  config.rms_norm_eps = eps.As<Napi::Number>().FloatValue();
  config.rope_inv_freq = doubles(field(js, "rope_inv_freq"), "rope_inv_freq");
  config.qk_norm = flag(field(js, "qk_norm"), "qk_norm");
  config.qkv_bias = flag(field(js, "qkv_bias"), "qkv_bias");
  config.tie_word_embeddings = flag(field(js, "tie_word_embeddings"), "tie_word_embeddings");
  config.check();
  return config;
}

ModelNeeds read_needs(const Napi::Object& js) {
  const auto count = [](const Napi::Object& of, const char* name) {
    return static_cast<size_t>(integer(field(of, name), name, uint64_t{1} << 53));
  };
  const auto footprint = [&](const char* name) {
    const Napi::Object of = object(field(js, name), name);
    return Footprint{count(of, "elements"), count(of, "floats")};
  };
  ModelNeeds needs;
  needs.weights = footprint("weights");
  needs.token = footprint("token");
  needs.sequence = footprint("sequence");
  needs.position = footprint("position");
  needs.round = footprint("round");
  needs.usual_length = count(js, "usual_length");
  return needs;
}

TensorMap read_tensors(const Napi::Object& js) {
  std::unordered_map<std::string, std::shared_ptr<const MappedFile>> files;
  TensorMap tensors;
  const Napi::Array names = js.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); i++) {
    const std::string name = text(names.Get(i), "tensor name");
    const Napi::Object entry = object(js.Get(name), name.c_str());
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

}  // namespace

std::unique_ptr<Backend> DeviceOptions::open() const {
  auto backend =
      cuda_library.empty()
          ? make_cpu_backend(precision, threads, isa, limits)
          : make_cuda_backend(cuda_library, {precision, cuda_device, gpu_memory_utilization});
  if (progress) backend->cut.show_progress_at(progress);
  return backend;
}

DeviceOptions read_device(const Napi::Object& js) {
  const std::string dtype = text(field(js, "dtype"), "dtype");
  if (dtype != "bfloat16" && dtype != "float32") {
    fail("dtype must be bfloat16 or float32, not '%s'", dtype.c_str());
  }
  const Napi::Value isa = js.Get("isa"), cuda = js.Get("cuda");
  DeviceOptions options;
  options.precision = dtype == "bfloat16" ? Precision::bfloat16 : Precision::float32;
  options.threads = static_cast<size_t>(integer(field(js, "threads"), "threads", 1024));
  if (!isa.IsUndefined()) options.isa = text(isa, "isa");
  if (cuda.IsUndefined()) return options;
  const Napi::Object of = object(cuda, "cuda");
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
  LoadOptions options{read_config(object(field(js, "config"), "config")),
                      read_needs(object(field(js, "needs"), "needs")),
                      read_tensors(object(field(js, "tensors"), "tensors")), read_device(js)};
  const Napi::Object limits = object(field(js, "cpuPass"), "cpuPass");
  const auto limit = [&](const char* name) {
    return static_cast<size_t>(integer(field(limits, name), name, UINT32_MAX));
  };
  options.device.limits = {limit("tokens"), limit("sequences")};
  const Napi::Value progress = js.Get("progress");
  if (progress.IsUndefined()) return options;
  if (!progress.IsTypedArray() ||
      progress.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array ||
      progress.As<Napi::TypedArray>().ElementLength() == 0) {
    fail("progress must be an Int32Array with an element");
  }
  options.device.progress = progress.As<Napi::Int32Array>().Data();
  options.progress = Napi::Persistent(progress.As<Napi::Int32Array>());
  return options;
}

Job read_job(const Napi::Object& js) {
  Job job;
  job.id = integer(field(js, "id"), "id", uint64_t{1} << 53);
  job.seq_len = static_cast<size_t>(integer(field(js, "seq_len"), "seq_len", UINT32_MAX));
  const Napi::Value streams = js.Get("input_streams");
  if (!streams.IsUndefined()) {
    job.input_streams = static_cast<size_t>(integer(streams, "input_streams", 8));
  }
  job.input_seeds = seeds(field(js, "input_seeds"), "input_seeds");
  const Napi::Object output = object(field(js, "output"), "output");
  const std::string kind = text(field(output, "kind"), "output.kind");
  if (kind == "distance") {
    job.output.kind = OutputKind::distance;
    job.output.permutation_seeds = seeds(field(output, "permutation_seeds"), "permutation_seeds");
    job.output.target_seed = seed_of(field(output, "target_seed"), "target_seed");
  } else if (kind == "artifact") {
    job.output.kind = OutputKind::artifact;
    job.output.k = static_cast<size_t>(integer(field(output, "k_dim"), "k_dim", UINT32_MAX));
    job.output.layer_seeds = seeds(field(output, "layer_seeds"), "layer_seeds");
    job.output.pick_seeds = seeds(field(output, "pick_seeds"), "pick_seeds");
    job.output.rotation_seeds = seeds(field(output, "rotation_seeds"), "rotation_seeds");
  } else if (kind == "logits") {
    job.output.kind = OutputKind::logits;
  } else if (kind == "hidden") {
    job.output.kind = OutputKind::hidden;
  } else {
    fail("output.kind must be distance, artifact, logits or hidden, not '%s'", kind.c_str());
  }
  return job;
}

}  // namespace proofmill
