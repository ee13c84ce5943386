#include "compare.h"

#include <cmath>
#include <utility>

#include "compare_tokens.h"
#include "comparison.h"
#include "proof_ops.h"

namespace proofmill {

namespace {

class SearchComparison : Comparison {
 public:
  using Comparison::Comparison;

  std::vector<OperationCheck> run() {
    for (const size_t n : {1, 2, 7, 1000, 4095}) inputs(n);
    for (const size_t n : {1, 2, 301, 4096, 151936}) permutation(n);
    for (const auto& [rows, width] :
         {std::pair<size_t, size_t>{1, 64}, {3, 60}, {17, 257}, {5, 1024}}) {
      rms_norm(rows, width);
      reflect_rms_norm(rows, width);
    }
    struct Shape {
      size_t rows, depth, width;
    };
    for (const Shape& s :
         {Shape{1, 64, 48}, {7, 60, 100}, {33, 96, 301}, {70, 257, 65}, {19, 192, 520}}) {
      project(s.rows, s.depth, s.width);
      linear(s.rows, s.depth, s.width);
      linear_add(s.rows, s.depth, s.width);
      linear_add_norm(s.rows, s.depth, s.width);
      linear_swiglu(s.rows, s.depth, s.width);
    }
    for (const size_t head_dim : {12, 16, 32, 64, 80, 96, 128, 256}) {
      attention({4, 2, head_dim}, 2, 37, 37, head_dim == 128);
    }
    attention({3, 1, 64}, 1, 1, 1, true);
    attention({2, 2, 128}, 1, 130, 130, true);
    attention({6, 2, 64}, 3, 65, 1, true);
    attention({2, 1, 16}, 1, 300, 1, false);
    for (const size_t vocab : {1, 2, 301, 1024, 50257, 151936}) distances(vocab);
    for (const auto& [hidden_size, k] :
         {std::pair<size_t, size_t>{1, 1}, {12, 12}, {60, 1}, {1000, 12}, {4097, 13}, {700, 600}}) {
      artifacts(hidden_size, k);
    }
    return checks();
  }

 private:
  void inputs(size_t n) {
    const std::vector<uint32_t> seeds = {1, 0xffffffff, 12345};
    compare("inputs", text("3 x %zu", n), 0, [&](Bench& bench) {
      const Buffer x = bench.backend().allocate(seeds.size() * n * sizeof(float));
      bench.begin();
      const Buffer of = bench.copy_in(seeds);
      bench.backend().proof_ops().inputs({of.as<uint32_t>(), seeds.size(), 1, n}, x.as<float>());
      return bench.end(x.as<float>(), n, seeds.size(), n);
    });
    compare("inputs", text("1 x %zu in 3 streams", n), 0, [&](Bench& bench) {
      const Buffer x = bench.backend().allocate(n * sizeof(float));
      bench.begin();
      const Buffer of = bench.copy_in(seeds);
      bench.backend().proof_ops().inputs({of.as<uint32_t>(), 1, seeds.size(), n}, x.as<float>());
      return bench.end(x.as<float>(), n, 1, n);
    });
  }

  void permutation(size_t n) {
    size_t wrong = 0;
    const std::vector<uint32_t> values = bench_.backend().proof_ops().permutation(99, n);
    const std::vector<uint32_t> reference = reference_.backend().proof_ops().permutation(99, n);
    for (size_t i = 0; i < n; i++) wrong += values[i] != reference[i];
    checks_.push_back({"permutation", text("%zu", n), static_cast<double>(wrong), 0});
  }

  void rms_norm(size_t rows, size_t width) {
    compare("rms_norm", text("%zu x %zu", rows, width), rounded(), [&](Bench& bench) {
      Backend& be = bench.backend();
      const Buffer x = be.upload(numbers(1, rows * width)), weight = be.upload(numbers(2, width));
      Act out = be.allocate_act(rows, width);
      bench.begin();
      be.rms_norm(x.as<float>(), rows, width, weight.as<float>(), 1e-5f, out);
      return bench.end(out, rows);
    });
  }

  // A vector of length 1, as a round's are.
  static Values unit(uint32_t seed, size_t n) {
    Values values = numbers(seed, n);
    const double length = std::sqrt(sum_of_squares(values));
    for (float& x : values) x = static_cast<float>(x / length);
    return values;
  }

  // What it makes of the stream is float32; what follows is rounded.
  void reflect_rms_norm(size_t rows, size_t width) {
    const std::string shape = text("%zu x %zu", rows, width);
    const auto reflect = [&](Bench& bench, bool stream) {
      Backend& be = bench.backend();
      const Buffer x = be.upload(numbers(1, rows * width)), weight = be.upload(numbers(2, width));
      const Buffer v = be.upload(unit(3, width));
      Act out = be.allocate_act(rows, width);
      bench.begin();
      be.reflect_rms_norm(x.as<float>(), rows, width, v.as<float>(), weight.as<float>(), 1e-5f,
                          out);
      return stream ? bench.end(x.as<float>(), width, rows, width) : bench.end(out, rows);
    };
    compare("reflect_rms_norm", shape, rounded(),
            [&](Bench& bench) { return reflect(bench, false); });
    compare("reflect_rms_norm", shape + ", the stream", 4e-6,
            [&](Bench& bench) { return reflect(bench, true); });
  }

  std::string product(size_t rows, size_t depth, size_t width) {
    return text("%zu x %zu x %zu", rows, depth, width);
  }

  // Columns that begin behind 8 others, with a bias. They are columns of v, which are neither
  // normed nor rotated.
  void project(size_t rows, size_t depth, size_t width) {
    compare("project", product(rows, depth, width), rounded(), [&](Bench& bench) {
      Backend& be = bench.backend();
      Tensor bias = matrix(5, width, 1);
      bias.shape = {width};  // its values are 1
      const Linear w = be.pack({matrix(3, width, depth)}, {bias});
      const Act a = bench.act(4, rows, depth);
      Act out = be.allocate_act(rows, width + 8);
      bench.begin();
      const Heads values_alone{{0, 0, 2}, rows, nullptr, nullptr, 0.0f, nullptr, nullptr};
      be.project(a, w, rows, out, 8, values_alone, rows);
      const Values all = bench.end(out, rows);
      Values values;
      for (size_t row = 0; row < rows; row++) {
        const float* from = all.data() + row * (width + 8) + 8;
        values.insert(values.end(), from, from + width);
      }
      return values;
    });
  }

  void linear(size_t rows, size_t depth, size_t width) {
    compare("linear", product(rows, depth, width), 4e-5, [&](Bench& bench) {
      Backend& be = bench.backend();
      const size_t stride = (width + 7) / 8 * 8;
      const Linear w = be.pack({matrix(3, width, depth)}, {});
      const Act a = bench.act(4, rows, depth);
      const Buffer out = be.allocate(rows * stride * sizeof(float));
      bench.begin();
      be.linear(a, w, rows, out.as<float>(), stride);
      return bench.end(out.as<float>(), stride, rows, width);
    });
  }

  void linear_add(size_t rows, size_t depth, size_t width) {
    compare("linear_add", product(rows, depth, width), 4e-5, [&](Bench& bench) {
      Backend& be = bench.backend();
      const Linear w = be.pack({matrix(3, width, depth)}, {});
      const Act a = bench.act(4, rows, depth);
      const Buffer x = be.upload(numbers(6, rows * width));
      bench.begin();
      be.linear_add(a, w, rows, x.as<float>());
      return bench.end(x.as<float>(), width, rows, width);
    });
  }

  // Compares what the next product makes of the norm, since a device may leave half of the norm to
  // that product.
  void linear_add_norm(size_t rows, size_t depth, size_t width) {
    compare("linear_add_norm", product(rows, depth, width), 4 * rounded(), [&](Bench& bench) {
      Backend& be = bench.backend();
      const Linear w = be.pack({matrix(3, width, depth)}, {});
      const Linear next = be.pack({matrix(7, 24, width)}, {});
      const Act a = bench.act(4, rows, depth);
      const Buffer x = be.upload(numbers(6, rows * width));
      const Buffer weight = be.upload(numbers(8, width));
      Act normed = be.allocate_act(rows, width);
      const Buffer out = be.allocate(rows * 24 * sizeof(float));
      bench.begin();
      be.linear_add_norm(a, w, rows, x.as<float>(), weight.as<float>(), 1e-6f, normed);
      be.linear(normed, next, rows, out.as<float>(), 24);
      Values values = bench.end(out.as<float>(), 24, rows, 24);
      bench.begin();
      const Values stream = bench.end(x.as<float>(), width, rows, width);
      values.insert(values.end(), stream.begin(), stream.end());
      return values;
    });
  }

  void linear_swiglu(size_t rows, size_t depth, size_t width) {
    // Gate, up and their product are each rounded.
    compare("linear_swiglu", product(rows, depth, width), 4 * rounded(), [&](Bench& bench) {
      Backend& be = bench.backend();
      const Linear w = be.pack_gate_up(matrix(3, width, depth), matrix(4, width, depth));
      const Act a = bench.act(5, rows, depth);
      Act out = be.allocate_act(rows, width);
      bench.begin();
      be.linear_swiglu(a, w, rows, out);
      return bench.end(out, rows);
    });
  }

  void attention(const AttentionShape& shape, size_t sequences, size_t seq_len, size_t queries,
                 bool normed) {
    const std::string name =
        text("%zu/%zu heads of %zu, ", shape.num_heads, shape.num_kv_heads, shape.head_dim) +
        text("%zu sequences, %zu of %zu positions", sequences, queries, seq_len);
    // Queries, keys, values and weights are each rounded.
    compare("attention", name, 6 * rounded(), [&](Bench& bench) {
      Backend& be = bench.backend();
      const size_t width = shape.q_width() + 2 * shape.kv_width(), half = shape.head_dim / 2;
      const auto [cosines, sines] = rotations(be, seq_len, half);
      const Buffer q_norm = be.upload(numbers(8, shape.head_dim));
      const Buffer k_norm = be.upload(numbers(9, shape.head_dim));
      const Heads heads{shape,
                        seq_len,
                        normed ? q_norm.as<float>() : nullptr,
                        normed ? k_norm.as<float>() : nullptr,
                        1e-6f,
                        cosines.as<float>(),
                        sines.as<float>()};
      Act qkv = bench.projected(10, sequences * seq_len, width, heads, seq_len);
      Act last_q = bench.projected(11, sequences * queries, shape.q_width(), heads, queries);
      Act out = be.allocate_act(sequences * queries, shape.q_width());
      bench.begin();
      be.attention({heads, sequences, queries, queries == seq_len ? qkv : last_q, qkv}, out);
      return bench.end(out, sequences * queries);
    });
  }

  void distances(size_t vocab) {
    const std::vector<uint32_t> seeds = {1, 0xffffffff, 12345};
    const Values target = unit(13, vocab);
    const double norm_squared = sum_of_squares(target);
    compare("distances", text("3 x %zu", vocab), 1e-6, [&](Bench& bench) {
      Backend& be = bench.backend();
      const size_t stride = (vocab + 7) / 8 * 8;
      const Buffer logits = be.upload(numbers(12, seeds.size() * stride));
      const Buffer out = be.allocate(seeds.size() * sizeof(float));
      bench.begin();
      const Buffer of = bench.copy_in(seeds), on = bench.copy_in(target);
      const Buffer norm = bench.copy_in(std::vector<double>{norm_squared});
      be.proof_ops().distances({logits.as<float>(), stride, seeds.size(), vocab, of.as<uint32_t>(),
                                on.as<float>(), norm.as<double>()},
                               out.as<float>());
      return bench.end(out.as<float>(), 1, seeds.size(), 1);
    });
  }

  void artifacts(size_t hidden_size, size_t k) {
    const std::vector<uint32_t> seeds = {1, 0xffffffff, 12345};
    std::vector<uint32_t> rotations(1);  // a buffer is never empty
    while (rotations.size() < seeds.size() * (k - 1)) {
      rotations.push_back(rng::hash(static_cast<uint32_t>(rotations.size()), 14));
    }
    const std::string shape = text("%zu of %zu, 3 rows", k, hidden_size);
    compare("artifacts", shape, 2e-5, [&](Bench& bench) {
      Backend& be = bench.backend();
      const Buffer hidden = be.upload(numbers(15, seeds.size() * hidden_size));
      const Buffer out = be.allocate(seeds.size() * k * sizeof(float));
      bench.begin();
      const Buffer picks = bench.copy_in(seeds), of = bench.copy_in(rotations);
      be.proof_ops().artifacts({hidden.as<float>(), seeds.size(), hidden_size, k,
                                picks.as<uint32_t>(), of.as<uint32_t>()},
                               out.as<float>());
      return bench.end(out.as<float>(), k, seeds.size(), k);
    });
  }
};

}  // namespace

std::vector<OperationCheck> compare_operations(Backend& backend, Backend& reference,
                                               Precision precision) {
  std::vector<OperationCheck> checks = SearchComparison(backend, reference, precision).run();
  for (OperationCheck& check : compare_tokens(backend, reference, precision)) {
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace proofmill
