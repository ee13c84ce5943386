// Rows of token sequences, whose keys and values are kept in pages.
#pragma once

#include <cstddef>
#include <cstdint>

namespace proofmill {

// Tokens whose keys and values are kept together in one page of a cache.
constexpr size_t kPageTokens = 64;

// Rows of one sequence of tokens that follow each other.
struct Span {
  uint32_t first_row, rows;
  uint32_t position;     // of its first row
  uint32_t first_block;  // where the sequence's pages begin among the blocks
};

// Rows of any number of sequences of tokens, each with the pages that hold what comes before it.
// Rows that belong to no span fill up a pass: what becomes of them is of no use.
struct PagedRows {
  size_t rows, num_spans;
  size_t longest;             // one more than the greatest position
  const uint32_t* positions;  // [rows]
  const Span* spans;          // [num_spans]
  const uint32_t* blocks;  // of each sequence in order: the pages of its positions, in their order
};

}  // namespace proofmill
