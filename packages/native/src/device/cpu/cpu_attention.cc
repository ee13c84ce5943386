#include "cpu_attention.h"

#include <algorithm>

#include "denormals.h"
#include "memory.h"

namespace proofmill::cpu {

namespace {

size_t whole_panels(size_t keys) {
  return (keys + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
}

}  // namespace

size_t CpuAttention::page_bytes(const AttentionShape& shape) const {
  const bool exact = storage_ == Storage::exact;
  return shape.num_kv_heads * kernels_.kv_page_bytes(kPageTokens, shape.head_dim, exact);
}

size_t CpuAttention::scratch_bytes(size_t seq_len, size_t head_dim) const {
  return kernels_.kv_page_bytes(whole_panels(seq_len), head_dim, storage_ == Storage::exact) +
         kernels_.attention_scratch_floats(seq_len, head_dim) * sizeof(float);
}

void CpuAttention::reserve_scratch(size_t bytes) {
  for (Buffer& scratch : scratch_) {
    if (scratch.bytes < bytes) scratch = allocate(bytes);
  }
}

void CpuAttention::free_scratch() {
  for (Buffer& scratch : scratch_) scratch = {};
}

CpuAttention::Part CpuAttention::part_of(const Heads& heads, size_t number, size_t row) const {
  Part part{{}, number, row};
  AttentionHead& head = part.head;
  head.group = heads.shape.num_heads / heads.shape.num_kv_heads;
  head.head_dim = heads.shape.head_dim;
  head.q_norm = heads.q_norm;
  head.k_norm = heads.k_norm;
  head.eps = heads.eps;
  head.cos = heads.cos;
  head.sin = heads.sin;
  head.storage = storage_;
  head.cut = &cut_;
  return part;
}

void CpuAttention::read_q(const Act& q, size_t row, Part& part) const {
  AttentionHead& head = part.head;
  head.q = q.data.as<float>() + row * q.stride + part.number * head.group * head.head_dim;
  head.q_stride = q.stride;
}

void CpuAttention::read_kv(const Act& qkv, size_t row, const AttentionShape& shape,
                           Part& part) const {
  AttentionHead& head = part.head;
  head.k = qkv.data.as<float>() + row * qkv.stride + shape.q_width() + part.number * head.head_dim;
  head.v = head.k + shape.kv_width();
  head.kv_stride = qkv.stride;
}

void CpuAttention::write_out(const Act& out, Part& part) const {
  AttentionHead& head = part.head;
  const size_t column = part.number * head.group * head.head_dim;
  head.out = element(out, part.row * out.stride + column, storage_);
  head.out_stride = out.stride;
}

void CpuAttention::of_sequences(const Backend::Attention& args, Act& out) {
  const Heads& heads = args.heads;
  const AttentionShape& shape = heads.shape;
  const size_t seq_len = heads.seq_len, keys = whole_panels(seq_len);
  const bool exact = storage_ == Storage::exact;
  const size_t page = kernels_.kv_page_bytes(keys, shape.head_dim, exact);
  reserve_scratch(scratch_bytes(seq_len, shape.head_dim));
  pool_.run(args.sequences * shape.num_kv_heads, [&](size_t i, size_t worker) {
    const size_t sequence = i / shape.num_kv_heads;
    Part part = part_of(heads, i % shape.num_kv_heads, sequence * args.queries);
    AttentionHead& head = part.head;
    head.rows = seq_len;
    head.queries = args.queries;
    // Its keys and values are one page, which is forgotten with this part.
    head.pages = scratch_[worker].as<char>();
    head.page_keys = keys;
    head.scratch = reinterpret_cast<float*>(head.pages + page);
    read_q(args.q, part.row, part);
    read_kv(args.qkv, sequence * seq_len, shape, part);
    write_out(out, part);
    const FlushDenormals flush(!exact);
    kernels_.pack_kv(head);
    kernels_.attend(head);
  });
  out.wide = storage_ != Storage::bf16;
}

void CpuAttention::keep_kv(const PagedRows& rows, const Heads& heads, const Act& qkv,
                           const Buffer& cache) {
  for_parts(rows, heads, cache, [&](Part& part) {
    read_kv(qkv, part.row, heads.shape, part);
    kernels_.pack_kv(part.head);
  });
}

void CpuAttention::of_pages(const PagedRows& rows, const Heads& heads, const Act& q,
                            const Buffer& cache, Act& out) {
  for_parts(rows, heads, cache, [&](Part& part) {
    part.head.queries = part.head.rows;
    read_q(q, part.row, part);
    write_out(out, part);
    kernels_.attend(part.head);
  });
  out.wide = storage_ != Storage::bf16;
}

void CpuAttention::for_parts(const PagedRows& rows, const Heads& heads, const Buffer& cache,
                             const std::function<void(Part& part)>& fn) {
  const AttentionShape& shape = heads.shape;
  const size_t stride = page_bytes(shape), of_head = stride / shape.num_kv_heads;
  reserve_scratch(kernels_.attention_scratch_floats(rows.longest, shape.head_dim) * sizeof(float));
  pieces_.clear();
  for (const Span* span = rows.spans; span < rows.spans + rows.num_spans; span++) {
    for (size_t first = 0; first < span->rows;) {
      const size_t left = kPageTokens - (span->position + first) % kPageTokens;
      const size_t count = std::min<size_t>(left, span->rows - first);
      pieces_.push_back({span, first, count});
      first += count;
    }
  }
  pool_.run(pieces_.size() * shape.num_kv_heads, [&](size_t i, size_t worker) {
    const Piece& piece = pieces_[i / shape.num_kv_heads];
    Part part = part_of(heads, i % shape.num_kv_heads, piece.span->first_row + piece.first);
    AttentionHead& head = part.head;
    head.position = piece.span->position + piece.first;
    head.rows = piece.rows;
    head.pages = cache.as<char>() + part.number * of_head;
    head.page_stride = stride;
    head.page_keys = kPageTokens;
    head.blocks = rows.blocks + piece.span->first_block;
    head.scratch = scratch_[worker].as<float>();
    const FlushDenormals flush(storage_ != Storage::exact);
    fn(part);
  });
}

}  // namespace proofmill::cpu
