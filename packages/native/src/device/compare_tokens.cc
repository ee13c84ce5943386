// Operations of token sessions, on ragged shapes.
#include "compare_tokens.h"

#include "comparison.h"

namespace proofmill {

namespace {

class TokenComparison : Comparison {
 public:
  using Comparison::Comparison;

  std::vector<OperationCheck> run() {
    for (const auto& [rows, width] : {std::pair<size_t, size_t>{1, 64}, {7, 60}, {33, 257}}) {
      embed(rows, width);
      gather_rows_at(rows, width);
    }
    for (const size_t head_dim : {12, 16, 64, 80, 128, 256}) {
      attend_pages({4, 2, head_dim}, head_dim == 128, 130);
    }
    attend_pages({3, 1, 64}, true, 130);
    attend_pages({8, 1, 64}, false, 515);  // devices may divide so many keys
    return checks();
  }

 private:
  // Rows that are drawn from more than there are of them, some of them twice.
  static std::vector<uint32_t> drawn_rows(size_t rows, uint32_t of) {
    std::vector<uint32_t> at(rows);
    for (size_t i = 0; i < rows; i++) at[i] = rng::hash(static_cast<uint32_t>(i), 16) % of;
    return at;
  }

  void embed(size_t rows, size_t width) {
    constexpr uint32_t kVocab = 101;
    compare("embed", text("%zu of %zu x %zu", rows, kVocab, width), 0, [&](Bench& bench) {
      Backend& be = bench.backend();
      const Linear table = be.pack({matrix(17, kVocab, width)}, {});
      const Buffer out = be.allocate(rows * width * sizeof(float));
      bench.begin();
      const Buffer tokens = bench.copy_in(drawn_rows(rows, kVocab));
      be.embed(table, tokens.as<uint32_t>(), rows, out.as<float>());
      return bench.end(out.as<float>(), width, rows, width);
    });
  }

  void gather_rows_at(size_t rows, size_t width) {
    constexpr uint32_t kRows = 20;
    const std::string shape = text("%zu of %zu x %zu", rows, kRows, width);
    compare("gather_rows_at", shape, 0, [&](Bench& bench) {
      Backend& be = bench.backend();
      const Buffer x = be.upload(numbers(18, kRows * width));
      const Buffer out = be.allocate(rows * width * sizeof(float));
      bench.begin();
      const Buffer at = bench.copy_in(drawn_rows(rows, kRows));
      be.gather_rows_at(x.as<float>(), width, at.as<uint32_t>(), rows, out.as<float>());
      return bench.end(out.as<float>(), width, rows, width);
    });
  }

  // Two sequences, one of so many and one of 3 positions, whose pages lie the wrong way round, and
  // then a step in which the first decodes and the second goes on by 5 rows.
  void attend_pages(const AttentionShape& shape, bool normed, uint32_t length) {
    constexpr uint32_t kShort = 3, kMore = 5;
    const std::string name =
        text("%zu/%zu heads of %zu, ", shape.num_heads, shape.num_kv_heads, shape.head_dim) +
        text("rows at %zu and %zu", length, kShort);
    const uint32_t long_pages = length / kPageTokens + 1, all_pages = long_pages + 1;
    std::vector<uint32_t> pages(all_pages);
    for (uint32_t i = 0; i < all_pages; i++) pages[i] = all_pages - i;  // page 0 is nobody's
    // Queries, keys, values and weights are each rounded.
    compare("attend_pages", name, 6 * rounded(), [&](Bench& bench) {
      Backend& be = bench.backend();
      const size_t width = shape.q_width() + 2 * shape.kv_width();
      const auto [cosines, sines] = rotations(be, length + 1, shape.head_dim / 2);
      const Buffer q_norm = be.upload(numbers(8, shape.head_dim));
      const Buffer k_norm = be.upload(numbers(9, shape.head_dim));
      const Buffer cache = be.allocate((all_pages + 1) * be.kv_page_bytes(shape));
      struct Part {
        uint32_t rows, position;
      };
      const auto step = [&](uint32_t seed, Part first, Part second) {
        const size_t rows = first.rows + second.rows;
        std::vector<uint32_t> at;
        for (const Part& part : {first, second}) {
          for (uint32_t i = 0; i < part.rows; i++) at.push_back(part.position + i);
        }
        bench.begin();
        const Buffer positions = bench.copy_in(at);
        const Buffer spans = bench.copy_in(
            std::vector<Span>{{0, first.rows, first.position, 0},
                              {first.rows, second.rows, second.position, long_pages}});
        const Buffer blocks = bench.copy_in(pages);
        const PagedRows paged{
            rows, 2, length + 1, positions.as<uint32_t>(), spans.as<Span>(), blocks.as<uint32_t>()};
        const Heads heads{shape,
                          1,
                          normed ? q_norm.as<float>() : nullptr,
                          normed ? k_norm.as<float>() : nullptr,
                          1e-6f,
                          cosines.as<float>(),
                          sines.as<float>(),
                          positions.as<uint32_t>()};
        const Act qkv = bench.projected(seed, rows, width, heads, 1);
        Act out = be.allocate_act(rows, shape.q_width());
        be.keep_kv(paged, heads, qkv, cache);
        be.attend_pages(paged, heads, qkv, cache, out);
        return bench.end(out, rows);
      };
      Values values = step(19, {length, 0}, {kShort, 0});
      const Values more = step(20, {1, length}, {kMore, kShort});
      values.insert(values.end(), more.begin(), more.end());
      return values;
    });
  }
};

}  // namespace

std::vector<OperationCheck> compare_tokens(Backend& backend, Backend& reference,
                                           Precision precision) {
  return TokenComparison(backend, reference, precision).run();
}

}  // namespace proofmill
