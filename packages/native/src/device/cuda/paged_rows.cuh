// Where rows of token sequences lie in their pages.
#pragma once

#include "kernel.h"
#include "kernels.h"

namespace proofmill::cuda {

// The span that a row belongs to, or null; spans are in the order of their rows.
__device__ __forceinline__ const Span* span_of(const PagedRows& rows, uint32_t row) {
  size_t first = 0, end = rows.num_spans;
  while (first < end) {
    const size_t middle = (first + end) / 2;
    if (rows.spans[middle].first_row + rows.spans[middle].rows <= row) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  const bool inside = first < rows.num_spans && rows.spans[first].first_row <= row;
  return inside ? rows.spans + first : nullptr;
}

}  // namespace proofmill::cuda
