// What comparisons of operations share: numbers without files, and how a device is asked.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "backend.h"
#include "compare.h"
#include "random.h"

namespace proofmill {

// Repeatable numbers of about unit size.
inline std::vector<float> numbers(uint32_t seed, size_t n) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; i++) {
    const uint32_t at = static_cast<uint32_t>(i);
    values[i] = rng::normal_pair(rng::uniform(rng::hash(2 * at, seed)),
                                 rng::uniform(rng::hash(2 * at + 1, seed)))
                    .cos;
  }
  return values;
}

// A matrix without a file: its values follow from the seed.
inline Tensor matrix(uint32_t seed, size_t rows, size_t width) {
  Tensor tensor;
  tensor.name = "matrix";
  tensor.shape = {rows, width};
  tensor.seed = seed;
  return tensor;
}

// A backend that is compared, and how the checks below use it.
class Bench {
 public:
  explicit Bench(Backend& backend) : backend_(backend) {}

  Backend& backend() { return backend_; }

  void begin() { backend_.begin_pass(); }
  // A buffer of the pass that was begun, with these values.
  template <class T>
  Buffer copy_in(const std::vector<T>& values) {
    Buffer buffer = backend_.allocate(values.size() * sizeof(T));
    backend_.copy_in(values.data(), values.size() * sizeof(T), buffer);
    return buffer;
  }
  // Ends the pass with these values.
  std::vector<float> end(const float* values, size_t stride, size_t rows, size_t width) {
    std::vector<float> out(rows * width);
    backend_.copy_out(values, stride, rows, width, out.data());
    backend_.wait_pass();
    return out;
  }
  std::vector<float> end(const Act& act, size_t rows) {
    const Buffer wide = backend_.allocate(rows * act.width * sizeof(float));
    backend_.widen(act, rows, wide.as<float>());
    return end(wide.as<float>(), act.width, rows, act.width);
  }
  // Rows of numbers in the precision of matrix inputs, each of that size.
  Act act(uint32_t seed, size_t rows, size_t width, float size = 1.0f) {
    const Buffer x = backend_.upload(numbers(seed, rows * width));
    const Buffer weight = backend_.upload(std::vector<float>(width, size));
    Act out = backend_.allocate_act(rows, width);
    backend_.rms_norm(x.as<float>(), rows, width, weight.as<float>(), 1e-6f, out);
    backend_.synchronize();  // before x goes
    return out;
  }
  // Rows of q, k and v as `project` leaves them from `column` on, of about unit size: a matrix's
  // numbers have a size of 0.02.
  Act projected(uint32_t seed, size_t rows, size_t width, const Heads& heads, size_t queries) {
    constexpr size_t kDepth = 64;
    const Act a = act(seed, rows, kDepth, 1 / (0.02f * 8));
    const Linear w = backend_.pack({matrix(seed, width, kDepth)}, {});
    Act out = backend_.allocate_act(rows, width);
    backend_.project(a, w, rows, out, 0, heads, queries);
    backend_.synchronize();  // before a and w go
    return out;
  }

 private:
  Backend& backend_;
};

inline double sum_of_squares(const std::vector<float>& values) {
  double sum = 0;
  for (const float x : values) sum += static_cast<double>(x) * x;
  return sum;
}

// The greatest difference, in shares of the reference's root mean square.
inline double error_of(const std::vector<float>& values, const std::vector<float>& reference) {
  double greatest = 0;
  const double size = std::sqrt(sum_of_squares(reference) / static_cast<double>(reference.size()));
  for (size_t i = 0; i < reference.size(); i++) {
    const double difference = std::fabs(static_cast<double>(values[i]) - reference[i]);
    if (!(difference <= greatest)) greatest = difference;  // NaN stays
    if (std::isnan(greatest)) return greatest;
  }
  return greatest == 0 ? 0 : greatest / size;
}

inline std::string text(const char* format, size_t a, size_t b = 0, size_t c = 0, size_t d = 0,
                        size_t e = 0) {
  char out[128];
  std::snprintf(out, sizeof out, format, a, b, c, d, e);
  return out;
}

// A device's operations beside a reference's, one check for each shape.
class Comparison {
 public:
  Comparison(Backend& backend, Backend& reference, Precision precision)
      : bench_(backend), reference_(reference), bf16_(precision == Precision::bfloat16) {}

  std::vector<OperationCheck> checks() { return std::move(checks_); }

 protected:
  using Values = std::vector<float>;

  template <class Fn>
  void compare(const char* operation, const std::string& shape, double allowed, Fn&& values_of) {
    const Values values = values_of(bench_), reference = values_of(reference_);
    checks_.push_back({operation, shape, error_of(values, reference), allowed});
  }

  // The error of values that were rounded once, in shares of their root mean square. A single value
  // may be several times as large as that.
  double rounded() const { return bf16_ ? 4.0 / 256 : 4e-6; }

  // Cosines and sines [positions, half] of about one turn in the first positions.
  static std::pair<Buffer, Buffer> rotations(Backend& be, size_t positions, size_t half) {
    Values cos(positions * half), sin(positions * half);
    for (size_t i = 0; i < cos.size(); i++) {
      const double angle =
          static_cast<double>(i / half) / std::pow(10.0, static_cast<double>(i % half) / half);
      cos[i] = static_cast<float>(std::cos(angle));
      sin[i] = static_cast<float>(std::sin(angle));
    }
    return {be.upload(cos), be.upload(sin)};
  }

  Bench bench_, reference_;
  const bool bf16_;
  std::vector<OperationCheck> checks_;
};

}  // namespace proofmill
