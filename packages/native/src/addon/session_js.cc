#include "session_js.h"

#include <cmath>

#include "arguments.h"

namespace proofmill {

namespace {

constexpr uint64_t kMostTokens = uint64_t{1} << 30;
// More logprobs of one token than anybody asks for.
constexpr uint64_t kMostTopLogprobs = 128;

float number(const Napi::Object& js, const char* name, double least, double greatest) {
  const Napi::Value value = field(js, name);
  const double x = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(x >= least && x <= greatest)) {
    fail("%s must be a number between %g and %g", name, least, greatest);
  }
  return static_cast<float>(x);
}

size_t count(const Napi::Object& js, const char* name, uint64_t greatest) {
  return static_cast<size_t>(integer(field(js, name), name, greatest));
}

Sampling read_sampling(const Napi::Object& js) {
  constexpr double kMost = 1e6;
  Sampling sampling;
  sampling.temperature = number(js, "temperature", 0, kMost);
  sampling.top_p = number(js, "top_p", 0, 1);
  sampling.top_k = count(js, "top_k", UINT32_MAX);
  sampling.min_p = number(js, "min_p", 0, 1);
  // Two halves of 32 bits each: a number of JavaScript's holds 53.
  const std::vector<uint32_t> seed = seeds(field(js, "seed"), "seed");
  if (seed.size() != 2) fail("seed must hold two numbers");
  sampling.seed = static_cast<uint64_t>(seed[1]) << 32 | seed[0];
  sampling.presence_penalty = number(js, "presence_penalty", -kMost, kMost);
  sampling.frequency_penalty = number(js, "frequency_penalty", -kMost, kMost);
  sampling.repetition_penalty = number(js, "repetition_penalty", 1e-6, kMost);
  const std::vector<uint32_t> biased = seeds(field(js, "biased_tokens"), "biased_tokens");
  const std::vector<float> biases = floats(field(js, "biases"), "biases");
  if (biased.size() != biases.size()) fail("biases must be as many as biased_tokens");
  for (size_t i = 0; i < biased.size(); i++) {
    if (!std::isfinite(biases[i])) fail("biases must be finite");
    sampling.logit_bias.emplace_back(biased[i], biases[i]);
  }
  const Napi::Value top = field(js, "top_logprobs");
  if (!top.IsNull()) {
    sampling.top_logprobs = static_cast<int>(integer(top, "top_logprobs", kMostTopLogprobs));
  }
  return sampling;
}

const char* name_of(Finish finish) {
  switch (finish) {
    case Finish::stop:
      return "stop";
    case Finish::length:
      return "length";
    case Finish::cancelled:
      return "cancelled";
    default:
      return "failed";
  }
}

}  // namespace

SessionLimits read_session_limits(const Napi::Object& js) {
  return {count(js, "pages", UINT32_MAX / 2), count(js, "max_sessions", UINT32_MAX),
          count(js, "max_len", kMostTokens), count(js, "step_rows", UINT16_MAX)};
}

SessionRequest read_session(const Napi::Object& js) {
  SessionRequest request;
  request.id = integer(field(js, "id"), "id", uint64_t{1} << 53);
  request.caller = integer(field(js, "caller"), "caller", uint64_t{1} << 53);
  request.prompt = seeds(field(js, "prompt"), "prompt");
  request.max_tokens = count(js, "max_tokens", kMostTokens);
  request.stop_tokens = seeds(field(js, "stop_tokens"), "stop_tokens");
  request.enforced_tokens = seeds(field(js, "enforced_tokens"), "enforced_tokens");
  request.sampling = read_sampling(object(field(js, "sampling"), "sampling"));
  return request;
}

Napi::Array to_js(Napi::Env env, const std::vector<SessionEvent>& events) {
  const auto number_of = [&](double x) { return Napi::Number::New(env, x); };
  Napi::Array array = Napi::Array::New(env, events.size());
  for (uint32_t i = 0; i < events.size(); i++) {
    const SessionEvent& event = events[i];
    Napi::Object js = Napi::Object::New(env);
    js.Set("session", number_of(static_cast<double>(event.id)));
    if (event.has_token) {
      Napi::Object token = Napi::Object::New(env);
      token.Set("id", number_of(event.token.id));
      token.Set("logprob", number_of(event.token.logprob));  // NaN where nobody asked for it
      Napi::Array top = Napi::Array::New(env, event.token.top.size());
      for (uint32_t j = 0; j < event.token.top.size(); j++) {
        Napi::Object row = Napi::Object::New(env);
        row.Set("id", number_of(event.token.top[j].id));
        row.Set("logprob", number_of(event.token.top[j].logprob));
        top.Set(j, row);
      }
      token.Set("top_logprobs", top);
      js.Set("token", token);
    }
    if (event.finish != Finish::none) {
      js.Set("finish", Napi::String::New(env, name_of(event.finish)));
      js.Set("cached_tokens", number_of(static_cast<double>(event.cached_tokens)));
      if (event.finish == Finish::failed) {
        js.Set("error", Napi::String::New(env, event.error));
        js.Set("device_lost", Napi::Boolean::New(env, event.device_lost));
      }
    }
    array.Set(i, js);
  }
  return array;
}

}  // namespace proofmill
