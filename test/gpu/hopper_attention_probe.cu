// Hopper's attention alone: right on ragged shapes, nothing from a neighbour, the same bits at
// every place, and how fast beside the kernel of other GPUs.
//   nvcc -std=c++17 -O3 -gencode=arch=compute_90a,code=sm_90a -I SRC hopper_attention_probe.cu
//   SRC/device/cuda/{attention,hopper_attention}.cu SRC/device/cuda/device.cc -o
//   hopper_attention_probe
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "device/cuda/hopper_attention.h"
#include "device/cuda/kernels.h"
#include "probe.cuh"

using namespace proofmill;
using namespace proofmill::cuda;

namespace {

using Memory = DeviceMemory<bf16>;

bf16 narrow(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<bf16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

struct Shape {
  int sequences, seq_len, heads, kv_heads, head_dim;
  // A few columns more than there are, which nothing may touch.
  size_t width() const { return static_cast<size_t>(heads + 2 * kv_heads) * head_dim + 16; }
  size_t out_width() const { return static_cast<size_t>(heads) * head_dim + 8; }
  size_t rows() const { return static_cast<size_t>(sequences) * seq_len; }
  size_t k() const { return static_cast<size_t>(heads) * head_dim; }
  size_t v() const { return k() + static_cast<size_t>(kv_heads) * head_dim; }
};

AttentionArgs<bf16> args_of(const Shape& s, const bf16* qkv, bf16* out) {
  return {qkv,       qkv + s.k(), qkv + s.v(), s.width(),  s.width(), s.sequences,  s.seq_len,
          s.seq_len, s.heads,     s.kv_heads,  s.head_dim, out,       s.out_width()};
}

const std::vector<bf16>& normals() {
  static const std::vector<bf16> values = [] {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<bf16> all(1000003);
    for (bf16& x : all) x = narrow(1.5f * normal(random));
    return all;
  }();
  return values;
}

std::vector<bf16> inputs_of(const Shape& s, size_t seed) {
  std::vector<bf16> qkv(s.rows() * s.width());
  for (size_t i = 0; i < qkv.size(); i++) qkv[i] = normals()[(i + seed * 7919) % normals().size()];
  for (size_t r = 0; r < s.rows(); r++)
    for (size_t j = s.width() - 16; j < s.width(); j++) qkv[r * s.width() + j] = 0xffff;
  return qkv;
}

void report(bool right, const char* what, const Shape& s, double figure, double allowed) {
  wrong += !right;
  std::printf("%s %s: %d x %d, %d/%d heads of %d: %.2e of %.2e\n", right ? "ok  " : "BAD ", what,
              s.sequences, s.seq_len, s.heads, s.kv_heads, s.head_dim, figure, allowed);
  std::fflush(stdout);
}

std::vector<bf16> attend(const Shape& s, const bf16* qkv, bool own = true) {
  Memory out(s.rows() * s.out_width());
  const AttentionArgs<bf16> args = args_of(s, qkv, out.at);
  if (own) {
    if (!hopper_attends(args)) std::printf("BAD  hopper_attends says no\n"), wrong++;
    hopper_attention(device, args);
  } else {
    attention(device, args);
  }
  return out.read();
}

// out [rows, heads * head_dim] in double
std::vector<double> exact(const Shape& s, const std::vector<bf16>& qkv) {
  const size_t d = static_cast<size_t>(s.head_dim), width = s.width();
  std::vector<double> out(s.rows() * s.k()), weight(static_cast<size_t>(s.seq_len));
  for (size_t sequence = 0; sequence < static_cast<size_t>(s.sequences); sequence++)
    for (size_t head = 0; head < static_cast<size_t>(s.heads); head++)
      for (size_t i = 0; i < static_cast<size_t>(s.seq_len); i++) {
        const size_t first = sequence * static_cast<size_t>(s.seq_len);
        const size_t kv = head / static_cast<size_t>(s.heads / s.kv_heads) * d;
        const bf16* q = &qkv[(first + i) * width + head * d];
        double top = -1e300, sum = 0;
        for (size_t j = 0; j <= i; j++) {
          const bf16* k = &qkv[(first + j) * width + s.k() + kv];
          double score = 0;
          for (size_t c = 0; c < d; c++)
            score += static_cast<double>(wide(q[c])) * static_cast<double>(wide(k[c]));
          weight[j] = score / std::sqrt(static_cast<double>(d));
          top = std::max(top, weight[j]);
        }
        for (size_t j = 0; j <= i; j++) sum += weight[j] = std::exp(weight[j] - top);
        double* to = &out[(first + i) * s.k() + head * d];
        for (size_t j = 0; j <= i; j++) {
          const bf16* v = &qkv[(first + j) * width + s.v() + kv];
          for (size_t c = 0; c < d; c++) to[c] += weight[j] / sum * static_cast<double>(wide(v[c]));
        }
      }
  return out;
}

double worst(const Shape& s, const std::vector<bf16>& out, const std::vector<double>& want) {
  double most = 0;
  for (size_t r = 0; r < s.rows(); r++)
    for (size_t j = 0; j < s.k(); j++) {
      const double error =
          std::fabs(static_cast<double>(wide(out[r * s.out_width() + j])) - want[r * s.k() + j]);
      if (!(error <= most)) most = error;
    }
  return most;
}

size_t differences(const bf16* a, const bf16* b, size_t count) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) n += a[i] != b[i];
  return n;
}

void check(const Shape& s) {
  const std::vector<bf16> values = inputs_of(s, 1);
  Memory qkv(values);
  const std::vector<bf16> out = attend(s, qkv.at);
  const std::vector<double> want = exact(s, values);
  const double error = worst(s, out, want), old_error = worst(s, attend(s, qkv.at, false), want);
  const double allowed = 0.01 + 1.5 * old_error;
  report(error <= allowed, "right", s, error, allowed);
  if (!(error <= allowed)) {
    // Which of queries, keys' tiles and columns are wrong says what is.
    int told = 0;
    for (size_t r = 0; r < s.rows() && told < 12; r++)
      for (size_t j = 0; j < s.k() && told < 12; j++) {
        const double got = wide(out[r * s.out_width() + j]), wanted = want[r * s.k() + j];
        if (std::fabs(got - wanted) <= allowed) continue;
        std::printf("     row %zu column %zu: %g, not %g\n", r, j, got, wanted);
        told++;
        j += 6;
      }
  }
  size_t touched = 0;
  for (size_t r = 0; r < s.rows(); r++)
    for (size_t j = s.k(); j < s.out_width(); j++) touched += out[r * s.out_width() + j] != 0xffff;
  if (touched > 0) report(false, "untouched", s, static_cast<double>(touched), 0);
  if (s.sequences < 3) return;

  // One sequence of NaN or infinity, all the others as they were.
  const size_t each = static_cast<size_t>(s.seq_len) * s.width();
  const size_t out_each = static_cast<size_t>(s.seq_len) * s.out_width();
  for (const bf16 bad : {bf16{0x7fc0}, bf16{0x7f80}}) {
    std::vector<bf16> spoilt = values;
    std::fill_n(spoilt.begin() + static_cast<std::ptrdiff_t>(each), each, bad);
    Memory other(spoilt);
    const std::vector<bf16> got = attend(s, other.at);
    size_t differ = differences(got.data(), out.data(), out_each);
    for (size_t i = 2; i < static_cast<size_t>(s.sequences); i++) {
      differ += differences(&got[i * out_each], &out[i * out_each], out_each);
    }
    size_t sound = 0;  // rows of the bad sequence must not look well
    for (size_t r = 0; r < static_cast<size_t>(s.seq_len); r++)
      for (size_t j = 0; j < s.k(); j++)
        sound += std::isfinite(wide(got[out_each + r * s.out_width() + j]));
    report(differ + sound == 0, "no leak", s, static_cast<double>(differ + sound), 0);
  }

  // The first sequence alone, at the end, twice, and its beginning alone.
  size_t differ = 0;
  Shape alone = s;
  alone.sequences = 1;
  differ += differences(attend(alone, qkv.at).data(), out.data(), out_each);
  std::vector<bf16> moved = values;
  std::copy_n(values.begin(), each, moved.end() - static_cast<std::ptrdiff_t>(each));
  Memory again(moved);
  const std::vector<bf16> got = attend(s, again.at);
  differ += differences(got.data(), out.data(), out_each);
  differ +=
      differences(&got[(static_cast<size_t>(s.sequences) - 1) * out_each], out.data(), out_each);
  for (const int length : {1, 17, 64, 65, 130}) {
    if (length >= s.seq_len) continue;
    alone.seq_len = length;
    differ += differences(attend(alone, qkv.at).data(), out.data(),
                          static_cast<size_t>(length) * s.out_width());
  }
  report(differ == 0, "places", s, static_cast<double>(differ), 0);
}

void time(const Shape& s) {
  Memory qkv(inputs_of(s, 3)), out(s.rows() * s.out_width());
  const std::vector<bf16> first = attend(s, qkv.at), other = attend(s, qkv.at, false);
  double apart = 0;
  for (size_t r = 0; r < s.rows(); r++)
    for (size_t j = 0; j < s.k(); j++) {
      const size_t at = r * s.out_width() + j;
      const double error =
          std::fabs(static_cast<double>(wide(first[at])) - static_cast<double>(wide(other[at])));
      if (!(error <= apart)) apart = error;
    }
  report(apart <= 0.05, "old and new", s, apart, 0.05);
  const AttentionArgs<bf16> args = args_of(s, qkv.at, out.at);
  const auto ours = [&](int) { hopper_attention(device, args); };
  const auto theirs = [&](int) { attention(device, args); };
  microseconds(3, ours);
  microseconds(3, theirs);
  std::vector<double> fresh, old;
  for (int i = 0; i < 5; i++) {
    fresh.push_back(microseconds(20, ours));
    const std::vector<bf16> last = i < 2 ? out.read() : std::vector<bf16>();
    if (!last.empty() && differences(last.data(), first.data(), last.size()) > 0) {
      report(false, "again", s, 1, 0);
    }
    old.push_back(microseconds(20, theirs));
  }
  std::sort(fresh.begin(), fresh.end());
  std::sort(old.begin(), old.end());
  const double bytes =
      static_cast<double>(s.rows()) * static_cast<double>(s.width() + s.out_width()) * 2;
  const double flops =
      2.0 * s.sequences * s.heads * s.head_dim * static_cast<double>(s.seq_len) * (s.seq_len + 1);
  std::printf(
      "## %3d x %4d, %d/%d heads of %3d: %7.1f us (best %.1f, %.0f GB/s, %.0f TFLOP/s), before "
      "%7.1f us, ratio %.2f\n",
      s.sequences, s.seq_len, s.heads, s.kv_heads, s.head_dim, fresh[2], fresh[0],
      bytes / fresh[2] * 1e-3, flops / fresh[2] * 1e-6, old[2], old[2] / fresh[2]);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "all";
  opened = std::make_unique<Device>(0);
  if (mode != "time") {
    for (const int head_dim : {128, 64})
      for (const int group : {2, 1, 3, 4})
        for (const int seq_len : {64, 1, 17, 65, 130, 256, 300}) {
          check({seq_len > 200 && group > 2 ? 2 : 3, seq_len, 2 * group, 2, head_dim});
          if (wrong > 8) {
            std::printf("hopper_attention_probe: WRONG\n");
            return 1;
          }
        }
  }
  time({33, 256, 16, 8, 128});
  time({132, 64, 16, 8, 128});
  time({33, 256, 32, 8, 128});
  time({4, 2112, 16, 8, 128});
  time({33, 256, 32, 8, 64});
  if (wrong > 0) {
    std::printf("hopper_attention_probe: %d WRONG\n", wrong);
    return 1;
  }
  std::printf("hopper_attention_probe: all right\n");
  return 0;
}
