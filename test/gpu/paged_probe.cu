// Attention over pages alone: right on ragged steps, nothing from keys that a row may not see, the
// same bits alone and among others, and how fast. The emulation runs it too, with `check`.
//   nvcc -std=c++17 -O3 -gencode=arch=compute_90a,code=sm_90a -I SRC paged_probe.cu
//   SRC/device/cuda/{paged,paged_attention,paged_attention_f32}.cu SRC/device/cuda/device.cc -o
//   paged_probe
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cuda/kernels.h"
#include "probe.cuh"

using namespace proofmill;
using namespace proofmill::cuda;

namespace {

struct Shape {
  int heads, kv_heads, head_dim;
  size_t kv_width() const { return static_cast<size_t>(kv_heads) * head_dim; }
  size_t q_width() const { return static_cast<size_t>(heads) * head_dim; }
  // Rows as the model has them, and a few columns more, which nothing may touch.
  size_t stride() const { return padded(q_width() + 2 * kv_width()) + 8; }
  size_t out_stride() const { return padded(q_width()) + 8; }
};

// Rows of one sequence; what the sequence holds follows from its number.
struct Part {
  uint32_t sequence, position, rows;
  uint32_t end() const { return position + rows; }
};

template <class T>
T number(float x) {
  if constexpr (sizeof(T) == 4) return x;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<T>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
double value(bf16 x) { return static_cast<double>(wide(x)); }
double value(float x) { return static_cast<double>(x); }

// The number at a column of a position's row of q, k and v.
template <class T>
T element(uint32_t sequence, uint32_t position, size_t column) {
  static const std::vector<float> normals = [] {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<float> all(1000003);
    for (float& x : all) x = 1.5f * normal(random);
    return all;
  }();
  const size_t at = sequence * 611953u + position * size_t{7919} + column;
  return number<T>(normals[at % normals.size()]);
}

// A step as the device reads it; pages lie in no order.
template <class T>
struct Step {
  Shape shape;
  std::vector<Part> parts;
  size_t rows = 0, longest = 1, pages = 0;
  std::vector<uint32_t> positions, blocks;
  std::vector<Span> spans;

  // `spare` rows belong to no span.
  Step(const Shape& of, std::vector<Part> some, size_t spare = 0) : shape(of), parts(some) {
    for (const Part& part : parts) {
      spans.push_back({static_cast<uint32_t>(rows), part.rows, part.position,
                       static_cast<uint32_t>(blocks.size())});
      for (uint32_t i = 0; i < part.rows; i++) positions.push_back(part.position + i);
      blocks.resize(blocks.size() + divide_up(part.end(), kPageTokens));
      rows += part.rows;
      longest = std::max<size_t>(longest, part.end());
    }
    rows += spare;
    positions.resize(rows, 0);
    pages = blocks.size() + 3;
    std::vector<uint32_t> all(pages);
    for (size_t i = 0; i < pages; i++) all[i] = static_cast<uint32_t>(i);
    std::shuffle(all.begin(), all.end(), std::mt19937(static_cast<unsigned>(pages)));
    std::copy_n(all.begin(), blocks.size(), blocks.begin());
  }

  size_t page_numbers() const { return 2 * kPageTokens * shape.kv_width(); }
  // Where a position's key lies in the cache; its value is `kPageTokens` rows behind.
  size_t key_at(size_t part, uint32_t position) const {
    const size_t page = blocks[spans[part].first_block + position / kPageTokens];
    return page * page_numbers() + position % kPageTokens * shape.kv_width();
  }
  template <class Fn>
  void each_row(const Fn& fn) const {
    for (size_t p = 0; p < parts.size(); p++)
      for (uint32_t i = 0; i < parts[p].rows; i++)
        fn(p, spans[p].first_row + i, parts[p].position + i);
  }

  // [rows, stride]: q, k and v of each row.
  std::vector<T> projected() const {
    std::vector<T> qkv(rows * shape.stride(), number<T>(NAN));
    each_row([&](size_t p, size_t row, uint32_t position) {
      for (size_t j = 0; j < shape.q_width() + 2 * shape.kv_width(); j++)
        qkv[row * shape.stride() + j] = element<T>(parts[p].sequence, position, j);
    });
    return qkv;
  }
  // The pages with all positions of each sequence, from `from` of a part on; NaN where nothing is.
  std::vector<T> cache(bool own) const {
    std::vector<T> all(pages * page_numbers(), number<T>(NAN));
    for (size_t p = 0; p < parts.size(); p++)
      for (uint32_t i = 0; i < (own ? parts[p].end() : parts[p].position); i++)
        for (size_t j = 0; j < shape.kv_width(); j++) {
          const size_t at = key_at(p, i) + j, column = shape.q_width() + j;
          all[at] = element<T>(parts[p].sequence, i, column);
          all[at + kPageTokens * shape.kv_width()] =
              element<T>(parts[p].sequence, i, column + shape.kv_width());
        }
    return all;
  }
};

// A step's numbers on the device.
template <class T>
struct OnDevice {
  DeviceMemory<uint32_t> positions, blocks;
  DeviceMemory<Span> spans;
  DeviceMemory<float> parts;
  PagedRows rows;
  explicit OnDevice(const Step<T>& step)
      : positions(step.positions),
        blocks(step.blocks),
        spans(step.spans),
        parts(1 + attend_pages_parts(
                      {step.rows, step.spans.size(), step.longest, nullptr, nullptr, nullptr},
                      step.shape.heads, step.shape.head_dim)),
        rows{step.rows, step.spans.size(), step.longest, positions.at, spans.at, blocks.at} {}
  PagedAttention<T> attention(const Shape& shape, const T* q, size_t q_stride, T* cache,
                              T* out) const {
    return {rows,           q,   q_stride,           cache,   shape.heads, shape.kv_heads,
            shape.head_dim, out, shape.out_stride(), parts.at};
  }
};

void report(bool right, const char* what, const std::string& where, double figure, double allowed) {
  wrong += !right;
  std::printf("%s %s: %s: %.2e of %.2e\n", right ? "ok  " : "BAD ", what, where.c_str(), figure,
              allowed);
  std::fflush(stdout);
}

// out [rows, out_stride] of a step whose own keys and values are brought into pages first.
template <class T>
std::vector<T> attend(const Step<T>& step) {
  const Shape& shape = step.shape;
  const OnDevice<T> on(step);
  const DeviceMemory<T> qkv(step.projected()), cache(step.cache(false));
  const DeviceMemory<T> out(step.rows * shape.out_stride());
  keep_kv<T>(device, on.rows, qkv.at + shape.q_width(), shape.stride(), shape.kv_width(), cache.at);
  attend_pages(device, on.attention(shape, qkv.at, shape.stride(), cache.at, out.at));
  const std::vector<T> kept = cache.read(), wanted = step.cache(true);
  if (std::memcmp(kept.data(), wanted.data(), kept.size() * sizeof(T)) != 0) {
    report(false, "keys and values are kept", "", 1, 0);
  }
  return out.read();
}

// The row's output in double, [q_width]
template <class T>
std::vector<double> exact(const Shape& shape, uint32_t sequence, uint32_t position) {
  const size_t d = static_cast<size_t>(shape.head_dim), keys = position + 1;
  const size_t group = static_cast<size_t>(shape.heads / shape.kv_heads);
  std::vector<double> out(shape.q_width()), weight(keys);
  for (size_t head = 0; head < static_cast<size_t>(shape.heads); head++) {
    const size_t k = shape.q_width() + head / group * d, v = k + shape.kv_width();
    double top = -1e300, sum = 0;
    for (uint32_t i = 0; i < keys; i++) {
      double score = 0;
      for (size_t c = 0; c < d; c++)
        score += value(element<T>(sequence, position, head * d + c)) *
                 value(element<T>(sequence, i, k + c));
      weight[i] = score / std::sqrt(static_cast<double>(d));
      top = std::max(top, weight[i]);
    }
    for (double& w : weight) sum += w = std::exp(w - top);
    for (uint32_t i = 0; i < keys; i++)
      for (size_t c = 0; c < d; c++)
        out[head * d + c] += weight[i] / sum * value(element<T>(sequence, i, v + c));
  }
  return out;
}

template <class T>
void check(const Shape& shape, const std::vector<Part>& parts) {
  const Step<T> step(shape, parts, 5);
  const std::string where = std::string(sizeof(T) == 2 ? "bf16" : "f32") + ", " +
                            std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) +
                            " heads of " + std::to_string(shape.head_dim) + ", " +
                            std::to_string(step.rows) + " rows";
  const std::vector<T> out = attend(step);
  const size_t stride = shape.out_stride(), width = shape.q_width();
  // Queries, keys, values, weights and what comes out are rounded.
  const double each = sizeof(T) == 2 ? 0.02 : 2e-5;
  double error = 0;
  size_t touched = 0;
  step.each_row([&](size_t p, size_t row, uint32_t position) {
    for (size_t j = width; j < stride; j++) touched += !std::isnan(value(out[row * stride + j]));
    // The first and last rows, and those about the ends of pages and chunks.
    const bool looked_at =
        row == step.spans[p].first_row || position + 1 == parts[p].end() || (position + 1) % 64 < 2;
    if (!looked_at) return;
    const std::vector<double> want = exact<T>(shape, parts[p].sequence, position);
    for (size_t j = 0; j < width; j++) {
      const double off =
          std::fabs(value(out[row * stride + j]) - want[j]) / (1 + 0.5 * std::fabs(want[j]));
      if (!(off <= error)) error = off;
    }
  });
  report(error <= each, "right", where, error, each);
  report(touched == 0, "untouched", where, static_cast<double>(touched), 0);

  // Rows alone, as decoded tokens; in another division into pieces; and in other company.
  size_t differ = 0, compared = 0;
  const auto compare = [&](const Step<T>& other) {
    const std::vector<T> got = attend(other);
    other.each_row([&](size_t p, size_t row, uint32_t position) {
      step.each_row([&](size_t q, size_t mine, uint32_t at) {
        if (parts[q].sequence != other.parts[p].sequence || at != position) return;
        compared++;
        differ += std::memcmp(&got[row * stride], &out[mine * stride], width * sizeof(T)) != 0;
      });
    });
  };
  std::vector<Part> pieces, decoded;
  for (const Part& part : parts) {
    const uint32_t first = part.rows / 3;
    if (first > 0) pieces.push_back({part.sequence, part.position, first});
    pieces.push_back({part.sequence, part.position + first, part.rows - first});
    decoded.push_back({part.sequence, part.end() - 1, 1});
    compare(Step<T>(shape, {{part.sequence, part.end() - 1, 1}}));
    compare(Step<T>(shape, {{part.sequence, part.position, 1}}));
  }
  // One piece of a sequence at a time, since each part has pages of its own.
  std::reverse(pieces.begin(), pieces.end());
  compare(Step<T>(shape, pieces));
  compare(Step<T>(shape, decoded, 1));
  report(differ == 0 && compared >= 3 * parts.size(), "the same bits", where,
         static_cast<double>(differ), 0);
}

template <class T>
void check_all() {
  // Ends of pages and of chunks (of 512 keys), before, at and behind them; pieces across both.
  const std::vector<Part> few{{1, 0, 3}, {2, 511, 1}, {3, 130, 1}, {4, 490, 40}, {5, 512, 1}};
  const std::vector<Part> more{{1, 0, 1},    {2, 0, 70},  {3, 1151, 1}, {4, 63, 2},
                               {5, 1000, 1}, {6, 505, 9}, {7, 64, 1}};
  check<T>({4, 2, 128}, few);
  check<T>({2, 2, 64}, more);
  check<T>({8, 2, 80}, few);
  check<T>({8, 1, 60}, more);
  check<T>({3, 1, 16}, more);
  check<T>({2, 1, 256}, few);
  check<T>({3, 1, 6}, few);
}

// `sequences` parts of `rows` rows that end with so many keys. Launches take turns with caches that
// do not fit into the L2 together, as a model's layers do.
template <class T>
void time(const Shape& shape, uint32_t sequences, uint32_t rows, uint32_t keys) {
  std::vector<Part> parts;
  for (uint32_t i = 0; i < sequences; i++) parts.push_back({i, keys - rows, rows});
  const Step<T> step(shape, parts);
  const OnDevice<T> on(step);
  const size_t numbers = step.pages * step.page_numbers(), bytes = numbers * sizeof(T);
  const size_t sets = std::clamp<size_t>((size_t{256} << 20) / bytes, 2, 64);
  const DeviceMemory<T> cache(numbers * sets), q(step.rows * shape.stride());
  const DeviceMemory<T> out(step.rows * shape.out_stride());
  // As bfloat16 and as float32 a small number.
  for (const DeviceMemory<T>* of : {&cache, &q}) {
    PROOFMILL_CUDA(device, cudaMemsetAsync(of->at, 0x3c, of->count * sizeof(T), device.stream));
  }
  const auto run = [&](size_t set) {
    attend_pages(device,
                 on.attention(shape, q.at, shape.stride(), cache.at + set * numbers, out.at));
  };
  const int runs = static_cast<int>(std::max<size_t>(sets, keys > 2048 || rows > 64 ? 4 : 32));
  const double cold = recorded(runs, [&](int i) { run(static_cast<size_t>(i) % sets); });
  const double hot = recorded(runs, [&](int) { run(0); });
  const double read = 2.0 * sizeof(T) * sequences * keys * static_cast<double>(shape.kv_width());
  const double seen = sequences * (static_cast<double>(rows) * keys - 0.5 * rows * (rows - 1.0));
  std::printf(
      "## %s %2d/%d heads of %d, %2u x %3u rows at %5u keys: %8.1f us, %5.0f GB/s, %4.0f TFLOP/s; "
      "from the L2 %8.1f us\n",
      sizeof(T) == 2 ? "bf16" : "f32 ", shape.heads, shape.kv_heads, shape.head_dim, sequences,
      rows, keys, cold, read / cold * 1e-3, 4 * seen * shape.q_width() / cold * 1e-6, hot);
  std::fflush(stdout);
}

// What brings tokens in, and their keys and values into pages.
void time_rows(uint32_t rows) {
  const Shape shape{16, 8, 128};
  std::vector<Part> parts;
  for (uint32_t i = 0; i < rows; i++) parts.push_back({i, 100, 1});
  const Step<bf16> step(shape, parts);
  const OnDevice<bf16> on(step);
  const DeviceMemory<bf16> qkv(rows * shape.stride()), cache(step.pages * step.page_numbers());
  const DeviceMemory<bf16> table(std::vector<bf16>(1024 * 1024));
  const DeviceMemory<float> x(rows * 1024), y(rows * 1024);
  const double keep = recorded(32, [&](int) {
    keep_kv<bf16>(device, on.rows, qkv.at + shape.q_width(), shape.stride(), shape.kv_width(),
                  cache.at);
  });
  const double embeds = recorded(
      32, [&](int) { embed<bf16>(device, table.at, 1024, on.positions.at, rows, 1024, x.at); });
  const double gathers =
      microseconds(32, [&](int) { gather_rows_at(device, x.at, 1024, on.positions.at, 1, y.at); });
  std::printf("## %3u rows: keep_kv %.1f us, embed %.1f us, gather_rows_at of one %.1f us\n", rows,
              keep, embeds, gathers);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "all";
  opened = std::make_unique<Device>(0);
  if (mode != "time") {
    check_all<bf16>();
    check_all<float>();
  }
  if (mode != "check") {
    for (const Shape& shape : {Shape{16, 8, 128}, Shape{32, 8, 128}}) {
      for (const uint32_t sequences : {1u, 8u, 64u})
        for (const uint32_t keys : {128u, 192u, 1024u, 8192u}) {
          time<bf16>(shape, sequences, 1, keys);
        }
      for (const uint32_t keys : {256u, 4096u}) time<bf16>(shape, 1, 256, keys);
    }
    time<bf16>({16, 8, 128}, 1, 1, 32768);
    time<float>({16, 8, 128}, 1, 1, 128);
    time<float>({16, 8, 128}, 1, 1, 8192);
    time<float>({16, 8, 128}, 1, 256, 256);
    time_rows(1);
    time_rows(256);
  }
  if (wrong > 0) {
    std::printf("paged_probe: %d WRONG\n", wrong);
    return 1;
  }
  std::printf("paged_probe: all right\n");
  return 0;
}
