#include "sampler.h"

#include <algorithm>
#include <cmath>

namespace proofmill {

namespace {

// Greater scores come first, and of equal ones the lower id.
bool before(const std::pair<float, uint32_t>& a, const std::pair<float, uint32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

// e^x for x <= 0, within a few ulp, 0 below -87; written so that compilers make vectors of a loop
// of it. It is the same on every machine: each operation rounds alone.
inline float exp_of(float x) {
  const float clamped = x > -87.0f ? x : -87.0f;
  const float shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  const float n = shifted - 12582912.0f;
  float r = clamped - n * 0.693145751953125f;
  r = r - n * 1.42860677e-6f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const int32_t exponent = static_cast<int32_t>(n) + 127;
  const uint32_t bits = static_cast<uint32_t>(exponent) << 23;
  float scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return x > -87.0f ? p * scale : 0.0f;
}

// The greatest of them; of equal ones the first.
size_t greatest(const float* values, size_t n) {
  constexpr size_t kLanes = 16;
  float top = values[0];
  size_t i = 0;
  if (n >= kLanes) {
    float lanes[kLanes];
    std::copy_n(values, kLanes, lanes);
    for (; i + kLanes <= n; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; lane++) {
        lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
      }
    }
    for (const float lane : lanes) top = std::max(top, lane);
  }
  for (; i < n; i++) top = std::max(top, values[i]);
  return static_cast<size_t>(std::find(values, values + n, top) - values);
}

// The sum of e^((values - top) * scale), in 16 interleaved sums.
double sum_of_exps(const float* values, size_t n, float top, float scale) {
  constexpr size_t kLanes = 16;
  double sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) {
      sums[lane] += static_cast<double>(exp_of((values[i + lane] - top) * scale));
    }
  }
  for (size_t lane = 0; i < n; i++, lane++) {
    sums[lane] += static_cast<double>(exp_of((values[i] - top) * scale));
  }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

}  // namespace

Sampler::Sampler(Sampling sampling, const std::vector<uint32_t>& prompt)
    : sampling_(std::move(sampling)) {
  if (sampling_.repetition_penalty == 1.0f) return;
  prompt_ = prompt;
  std::sort(prompt_.begin(), prompt_.end());
  prompt_.erase(std::unique(prompt_.begin(), prompt_.end()), prompt_.end());
}

Sampled Sampler::next(const float* logits, size_t vocab, const uint32_t* forced) {
  Sampled sampled;
  sampled.id = forced ? *forced : choose(logits, vocab);
  counts_[sampled.id]++;
  drawn_++;
  if (sampling_.top_logprobs < 0) return sampled;
  const float top = logits[greatest(logits, vocab)];
  const double sum = std::log(sum_of_exps(logits, vocab, top, 1.0f));
  const auto logprob = [&](uint32_t id) {
    return static_cast<float>(static_cast<double>(logits[id] - top) - sum);
  };
  sampled.logprob = logprob(sampled.id);
  const size_t wanted = std::min<size_t>(static_cast<size_t>(sampling_.top_logprobs), vocab);
  // The best so far, as a heap with the least of them on top.
  candidates_.clear();
  for (uint32_t id = 0; id < vocab && wanted > 0; id++) {
    const std::pair<float, uint32_t> candidate{logits[id], id};
    if (candidates_.size() == wanted) {
      if (!before(candidate, candidates_.front())) continue;
      std::pop_heap(candidates_.begin(), candidates_.end(), before);
      candidates_.pop_back();
    }
    candidates_.push_back(candidate);
    std::push_heap(candidates_.begin(), candidates_.end(), before);
  }
  std::sort(candidates_.begin(), candidates_.end(), before);
  for (const auto& [logit, id] : candidates_) sampled.top.push_back({id, logprob(id)});
  return sampled;
}

uint32_t Sampler::choose(const float* logits, size_t vocab) {
  const Sampling& s = sampling_;
  const bool changed = s.presence_penalty != 0 || s.frequency_penalty != 0 ||
                       s.repetition_penalty != 1 || !s.logit_bias.empty();
  if (s.temperature < kGreedy && !changed) return static_cast<uint32_t>(greatest(logits, vocab));
  scores_.assign(logits, logits + vocab);
  if (changed) penalise(vocab);
  return s.temperature < kGreedy ? static_cast<uint32_t>(greatest(scores_.data(), vocab))
                                 : draw(vocab);
}

void Sampler::penalise(size_t vocab) {
  const Sampling& s = sampling_;
  const auto repeated = [&](uint32_t id) {
    float& score = scores_[id];
    score = score > 0 ? score / s.repetition_penalty : score * s.repetition_penalty;
  };
  if (s.repetition_penalty != 1) {
    for (const uint32_t id : prompt_) {
      if (counts_.count(id) == 0) repeated(id);
    }
  }
  for (const auto& [id, count] : counts_) {
    if (s.repetition_penalty != 1) repeated(id);
    scores_[id] -= s.presence_penalty + s.frequency_penalty * static_cast<float>(count);
  }
  for (const auto& [id, bias] : s.logit_bias) {
    if (id < vocab) scores_[id] += bias;
  }
}

// A token by its probability among those that min_p, top_k and top_p leave.
uint32_t Sampler::draw(size_t vocab) {
  const Sampling& s = sampling_;
  const float scale = 1.0f / s.temperature;
  const size_t best = greatest(scores_.data(), vocab);
  const float top = scores_[best];
  const double number = uniform();
  if (s.top_p >= 1 && s.top_k == 0 && s.min_p == 0) {
    double left = number * sum_of_exps(scores_.data(), vocab, top, scale);
    for (uint32_t id = 0; id < vocab; id++) {
      left -= static_cast<double>(exp_of((scores_[id] - top) * scale));
      if (left < 0) return id;
    }
    return static_cast<uint32_t>(best);  // what rounding left over
  }
  // Of all tokens those that can be among the chosen ones, best first.
  candidates_.clear();
  const float least = s.min_p > 0 ? top + std::log(s.min_p) * s.temperature : -INFINITY;
  for (uint32_t id = 0; id < vocab; id++) {
    if (scores_[id] >= least) candidates_.emplace_back(scores_[id], id);
  }
  size_t kept = candidates_.size();
  if (s.top_k > 0) kept = std::min(kept, s.top_k);
  const auto weight = [&](const std::pair<float, uint32_t>& candidate) {
    return static_cast<double>(exp_of((candidate.first - top) * scale));
  };
  const auto sort_first = [&](size_t count) {
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(candidates_.begin(), end, candidates_.end(), before);
  };
  double sum = 0;
  if (s.top_p < 1) {
    // top_p is a share of what top_k and min_p have left. Few tokens hold most of it, so that a
    // few are sorted first, and more only where they do not suffice.
    if (kept < candidates_.size()) sort_first(kept);
    double all = 0;
    for (size_t i = 0; i < kept; i++) all += weight(candidates_[i]);
    candidates_.resize(kept);
    size_t sorted = 0;
    for (size_t i = 0; i < kept; i++) {
      if (i == sorted) sort_first(sorted = std::min(kept, std::max<size_t>(256, 8 * sorted)));
      sum += weight(candidates_[i]);
      if (sum >= static_cast<double>(s.top_p) * all) {
        kept = i + 1;
        break;
      }
    }
  } else {
    sort_first(kept);
    for (size_t i = 0; i < kept; i++) sum += weight(candidates_[i]);
  }
  double left = number * sum;
  for (size_t i = 0; i < kept; i++) {
    left -= weight(candidates_[i]);
    if (left < 0) return candidates_[i].second;
  }
  return candidates_[0].second;
}

// Number `drawn_` of the seed, in [0, 1): splitmix64, whose every number can be had at once.
double Sampler::uniform() const {
  uint64_t z = sampling_.seed + (drawn_ + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z = z ^ (z >> 31);
  return static_cast<double>(z >> 11) * 0x1p-53;
}

}  // namespace proofmill
