#include "protocol_numbers.h"

#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "device/backend.h"
#include "device/proof_ops.h"
#include "device/random.h"
#include "proof/artifact.h"
#include "proof/distance.h"

namespace proofmill {

namespace {

size_t count_of(const Napi::Value& value) {
  return static_cast<size_t>(integer(value, "n", uint64_t{1} << 28));
}

template <class T, class Fn>
Napi::Value series(const Napi::CallbackInfo& info, Fn&& fn) {
  const uint32_t seed = seed_of(info[0], "seed");
  std::vector<T> out(count_of(info[1]));
  for (size_t i = 0; i < out.size(); i++) out[i] = fn(static_cast<uint32_t>(i), seed);
  return to_js(info.Env(), out);
}

Napi::Value inputs(const Napi::CallbackInfo& info, Precision precision, const std::string& isa) {
  // A seed, or those of several streams.
  const std::vector<uint32_t> of = info[0].IsNumber()
                                       ? std::vector<uint32_t>{seed_of(info[0], "seed")}
                                       : seeds(info[0], "seeds");
  if (of.empty()) fail("seeds must hold at least one seed");
  std::vector<float> out(count_of(info[1]));
  if (!out.empty()) {
    make_cpu_backend(precision, 1, isa)
        ->proof_ops()
        .inputs({of.data(), 1, of.size(), out.size()}, out.data());
  }
  return to_js(info.Env(), out);
}

// The CPU's operations: the host's memory is the device's.
std::unique_ptr<Backend> cpu() { return make_cpu_backend(Precision::float32, 1, ""); }

float distance(const std::vector<float>& logits, uint32_t permutation_seed, uint32_t target_seed) {
  const Target target = make_target(target_seed, logits.size());
  float out = 0;
  cpu()->proof_ops().distances({logits.data(), logits.size(), 1, logits.size(), &permutation_seed,
                                target.values.data(), &target.norm_squared},
                               &out);
  return out;
}

// Calls fn(hidden, pick_seed, rotation_seeds), whose k is one more than there are of the last.
template <class Fn>
Napi::Value artifact(const Napi::CallbackInfo& info, Fn&& fn) {
  const std::vector<float> hidden = floats(info[0], "hidden");
  const uint32_t pick_seed = seed_of(info[1], "pick_seed");
  const std::vector<uint32_t> rotation_seeds = seeds(info[2], "rotation_seeds");
  if (rotation_seeds.size() >= hidden.size()) {
    fail("rotation_seeds must hold fewer seeds than hidden's %zu numbers", hidden.size());
  }
  return to_js(info.Env(), fn(hidden, pick_seed, rotation_seeds));
}

std::vector<float> artifact_of(const std::vector<float>& hidden, uint32_t pick_seed,
                               const std::vector<uint32_t>& rotation_seeds) {
  std::vector<float> out(rotation_seeds.size() + 1);
  cpu()->proof_ops().artifacts(
      {hidden.data(), 1, hidden.size(), out.size(), &pick_seed, rotation_seeds.data()}, out.data());
  return out;
}

template <class Fn>
Napi::Value elementwise(const Napi::CallbackInfo& info, Fn&& fn) {
  std::vector<float> x = floats(info[0], "x");
  for (float& value : x) value = fn(value);
  return to_js(info.Env(), x);
}

}  // namespace

void export_protocol_numbers(Napi::Env env, Napi::Object exports) {
  const auto define = [&](const char* name, auto fn) {
    const auto call = [fn](const Napi::CallbackInfo& info) {
      return guarded(info, [&]() -> Napi::Value { return fn(info); });
    };
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  using Info = const Napi::CallbackInfo&;
  define("hash", [](Info info) { return series<uint32_t>(info, rng::hash); });
  define("uniform", [](Info info) {
    return series<float>(
        info, [](uint32_t i, uint32_t seed) { return rng::uniform(rng::hash(i, seed)); });
  });
  define("normal", [](Info info) { return inputs(info, Precision::float32, ""); });
  define("inputs", [](Info info) {
    const bool bf16 = text(info[2], "dtype") == "bfloat16";
    const std::string isa = info[3].IsUndefined() ? "" : text(info[3], "isa");
    return inputs(info, bf16 ? Precision::bfloat16 : Precision::float32, isa);
  });
  define("permutation", [](Info info) {
    const uint32_t seed = seed_of(info[0], "seed");
    return to_js(info.Env(), cpu()->proof_ops().permutation(seed, count_of(info[1])));
  });
  define("target", [](Info info) {
    const uint32_t seed = seed_of(info[0], "seed");
    return to_js(info.Env(), make_target(seed, count_of(info[1])).values);
  });
  define("distance", [](Info info) {
    return Napi::Number::New(
        info.Env(), distance(floats(info[0], "logits"), seed_of(info[1], "permutation_seed"),
                             seed_of(info[2], "target_seed")));
  });
  define("distanceReference", [](Info info) {
    const std::vector<float> logits = floats(info[0], "logits");
    return Napi::Number::New(info.Env(), distance_reference(logits.data(), logits.size(),
                                                            seed_of(info[1], "permutation_seed"),
                                                            seed_of(info[2], "target_seed")));
  });
  define("picks", [](Info info) {
    const size_t n = count_of(info[1]);
    const size_t k = static_cast<size_t>(integer(info[2], "k", n));
    if (k < 1) fail("k must be at least 1");
    return to_js(info.Env(), picks(seed_of(info[0], "seed"), n, k));
  });
  define("artifact", [](Info info) { return artifact(info, artifact_of); });
  define("artifactReference", [](Info info) { return artifact(info, artifact_reference); });
  define("ln", [](Info info) { return elementwise(info, rng::ln); });
  define("sin",
         [](Info info) { return elementwise(info, [](float x) { return rng::sin_cos(x).sin; }); });
  define("cos",
         [](Info info) { return elementwise(info, [](float x) { return rng::sin_cos(x).cos; }); });
}

}  // namespace proofmill
