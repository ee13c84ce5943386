#include "token_rows.h"

#include <algorithm>

namespace proofmill {

void TokenRows::clear() {
  for (auto* numbers : {&tokens_, &positions_, &blocks_, &end_rows_, &end_positions_}) {
    numbers->clear();
  }
  spans_.clear();
  end_spans_.clear();
  longest_ = 1;
}

void TokenRows::add(const TokenSpan& span) {
  const auto number = [](size_t n) { return static_cast<uint32_t>(n); };
  const uint32_t block = number(blocks_.size()), end = number(span.position + span.count - 1);
  spans_.push_back({number(tokens_.size()), number(span.count), number(span.position), block});
  for (size_t i = 0; i < span.count; i++) {
    tokens_.push_back(span.tokens[i]);
    positions_.push_back(number(span.position + i));
  }
  blocks_.insert(blocks_.end(), span.pages.begin(), span.pages.end());
  longest_ = std::max<size_t>(longest_, end + 1);
  if (!span.read_end) return;
  end_spans_.push_back({number(end_rows_.size()), 1, end, block});
  end_rows_.push_back(number(tokens_.size() - 1));
  end_positions_.push_back(end);
}

void TokenRows::copy_in(Backend& backend) {
  numbers_.clear();
  // Rows that fill up are tokens 0 at position 0, and belong to no span.
  const auto put = [&](const std::vector<uint32_t>& of, size_t count) {
    const size_t at = numbers_.size();
    numbers_.insert(numbers_.end(), of.begin(), of.end());
    numbers_.resize(at + std::max(count, of.size()), 0);
    return at;
  };
  const auto put_spans = [&](const std::vector<Span>& of) {
    const size_t at = numbers_.size();
    for (const Span& span : of) {
      numbers_.insert(numbers_.end(), {span.first_row, span.rows, span.position, span.first_block});
    }
    return at;
  };
  tokens_at_ = put(tokens_, rows());
  positions_at_ = put(positions_, rows());
  end_rows_at_ = put(end_rows_, ends());
  end_positions_at_ = put(end_positions_, ends());
  spans_at_ = put_spans(spans_);
  end_spans_at_ = put_spans(end_spans_);
  blocks_at_ = put(blocks_, 0);
  const size_t bytes = numbers_.size() * sizeof(uint32_t);
  if (on_device_.bytes < bytes) {
    backend.synchronize();  // before the old one goes
    on_device_ = backend.allocate(2 * bytes);
  }
  backend.copy_in(numbers_.data(), bytes, on_device_);
}

}  // namespace proofmill
