// One step of token sequences, as the device reads it.
#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"

namespace proofmill {

// Tokens of one sequence that go through the model in a step.
struct TokenSpan {
  const uint32_t* tokens;  // [count]
  size_t count;
  size_t position;                     // of the first of them
  const std::vector<uint32_t>& pages;  // the sequence's, up to the last of them at least
  bool read_end;                       // whether logits after the last of them are wanted
};

// Spans, one after another, are the rows; those whose end is read are the ends, in the same order.
class TokenRows {
 public:
  // Whether steps are filled up to `rows` and `ends`, which are the most they may have.
  TokenRows(size_t rows, size_t ends, bool fixed)
      : most_rows_(rows), most_ends_(ends), fixed_(fixed) {}

  void clear();
  void add(const TokenSpan& span);
  // Copies all of it to the device, for the pass that was begun.
  void copy_in(Backend& backend);

  // As the device sees it, once it is copied in.
  size_t rows() const { return fixed_ ? most_rows_ : tokens_.size(); }
  size_t ends() const { return fixed_ ? most_ends_ : end_rows_.size(); }
  const uint32_t* tokens() const { return on_device_.as<uint32_t>() + tokens_at_; }      // [rows]
  const uint32_t* end_rows() const { return on_device_.as<uint32_t>() + end_rows_at_; }  // [ends]
  PagedRows all() const { return paged(rows(), spans_.size(), positions_at_, spans_at_); }
  // Of the ends alone: each is a span of one row.
  PagedRows of_ends() const {
    return paged(ends(), end_spans_.size(), end_positions_at_, end_spans_at_);
  }
  // One more than the greatest position.
  size_t longest() const { return longest_; }

 private:
  PagedRows paged(size_t rows, size_t spans, size_t positions_at, size_t spans_at) const {
    const uint32_t* at = on_device_.as<uint32_t>();
    return {rows,
            spans,
            longest_,
            at + positions_at,
            reinterpret_cast<const Span*>(at + spans_at),
            at + blocks_at_};
  }

  const size_t most_rows_, most_ends_;
  const bool fixed_;
  std::vector<uint32_t> tokens_, positions_, blocks_, end_rows_, end_positions_;
  std::vector<Span> spans_, end_spans_;
  size_t longest_ = 1;
  // Where each lies among the numbers on the device.
  size_t tokens_at_ = 0, positions_at_ = 0, end_rows_at_ = 0, end_positions_at_ = 0, spans_at_ = 0,
         end_spans_at_ = 0, blocks_at_ = 0;
  std::vector<uint32_t> numbers_;
  Buffer on_device_;
};

}  // namespace proofmill
