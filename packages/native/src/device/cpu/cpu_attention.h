// Attention on the CPU: of a search's sequences over themselves, and of tokens over pages.
#pragma once

#include <functional>
#include <vector>

#include "device/backend.h"
#include "device/threads.h"
#include "kernels.h"

namespace proofmill::cpu {

// Element `at` of an activation that is stored as matrix products read it.
inline void* element(const Act& act, size_t at, Storage storage) {
  return act.data.as<char>() + at * size_of(storage);
}

class CpuAttention {
 public:
  // Products read rows stored so.
  CpuAttention(ThreadPool& pool, const Kernels& kernels, Storage storage, const Cut& cut)
      : pool_(pool), kernels_(kernels), storage_(storage), cut_(cut), scratch_(pool.size()) {}

  // Backend's attention, keep_kv, attend_pages and kv_page_bytes.
  void of_sequences(const Backend::Attention& args, Act& out);
  void keep_kv(const PagedRows& rows, const Heads& heads, const Act& qkv, const Buffer& cache);
  void of_pages(const PagedRows& rows, const Heads& heads, const Act& q, const Buffer& cache,
                Act& out);
  size_t page_bytes(const AttentionShape& shape) const;

  // Bytes that each thread takes for sequences of this length.
  size_t scratch_bytes(size_t seq_len, size_t head_dim) const;
  void free_scratch();

 private:
  // A key/value head of rows that are one part of an operation. They come before `row`, the first
  // one's, is known where their activations lie.
  struct Part {
    AttentionHead head;
    size_t number;  // of the key/value head
    size_t row;     // the first one, among those of the activations
  };
  Part part_of(const Heads& heads, size_t number, size_t row) const;
  void read_q(const Act& q, size_t row, Part& part) const;
  void read_kv(const Act& qkv, size_t row, const AttentionShape& shape, Part& part) const;
  void write_out(const Act& out, Part& part) const;
  // Calls fn(part) for each key/value head of each span, on the pool's threads; a span that is long
  // is several parts, each of rows of one page.
  void for_parts(const PagedRows& rows, const Heads& heads, const Buffer& cache,
                 const std::function<void(Part& part)>& fn);
  void reserve_scratch(size_t bytes);

  ThreadPool& pool_;
  const Kernels& kernels_;
  const Storage storage_;
  const Cut& cut_;
  std::vector<Buffer> scratch_;  // one for each worker
  struct Piece {
    const Span* span;
    size_t first, rows;  // of the span's rows
  };
  std::vector<Piece> pieces_;
};

}  // namespace proofmill::cpu
