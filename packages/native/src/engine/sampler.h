// From logits to a token: one request's way of choosing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace proofmill {

// Temperatures below it would divide by next to nothing.
constexpr float kGreedy = 1e-5f;

struct Sampling {
  float temperature = 1.0f;  // below kGreedy: the token with the greatest logit
  float top_p = 1.0f;        // (0, 1]
  size_t top_k = 0;          // 0: all
  float min_p = 0.0f;        // [0, 1], of the greatest probability
  uint64_t seed = 0;
  float presence_penalty = 0.0f, frequency_penalty = 0.0f;
  float repetition_penalty = 1.0f;  // > 0
  std::vector<std::pair<uint32_t, float>> logit_bias;
  // How many of the most likely tokens are told with each token; -1: not even its own logprob.
  int top_logprobs = -1;
};

struct TokenLogprob {
  uint32_t id;
  float logprob;
};

struct Sampled {
  uint32_t id = 0;
  // Of the model's own distribution, before temperature, penalties and bias: the same whatever way
  // the token was chosen.
  float logprob = std::numeric_limits<float>::quiet_NaN();  // unless it was asked for
  std::vector<TokenLogprob> top;  // most likely first; of equals the lower id
};

// The choice depends on the logits, the tokens so far, and the seed alone: the n-th token of a
// request draws the n-th number of its seed.
class Sampler {
 public:
  Sampler(Sampling sampling, const std::vector<uint32_t>& prompt);

  // The next token. `forced`, if it is not null, is taken instead of a choice.
  Sampled next(const float* logits, size_t vocab, const uint32_t* forced);

 private:
  uint32_t choose(const float* logits, size_t vocab);
  void penalise(size_t vocab);
  uint32_t draw(size_t vocab);
  double uniform() const;

  const Sampling sampling_;
  std::unordered_map<uint32_t, uint32_t> counts_;  // of each token that was chosen so far
  std::vector<uint32_t> prompt_;                   // its tokens, each once; for repetition_penalty
  uint64_t drawn_ = 0;
  std::vector<float> scores_;  // [vocab], of a choice
  std::vector<std::pair<float, uint32_t>> candidates_;
};

}  // namespace proofmill
