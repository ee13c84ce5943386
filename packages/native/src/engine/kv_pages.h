// Who uses which page of the cache of keys and values. Pages are numbers here; what they hold lies
// with the model.
//
// A page that is full of tokens is known by them and by all tokens before it, so that a sequence
// that begins likewise shares it. Nobody writes into a page that is known. A page that no sequence
// uses keeps its contents until it is needed for others, the one that was left first before others.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace proofmill {

class KvPages {
 public:
  explicit KvPages(size_t pages);

  size_t size() const { return pages_.size(); }
  // Pages that some sequence uses.
  size_t in_use() const { return pages_.size() - unused_.size(); }

  // What a sequence's next page follows: a page that is known, or the beginning.
  using Prefix = uint64_t;
  static constexpr Prefix kBeginning = 0;

  // A page for one sequence alone; empty when all are in use.
  std::optional<uint32_t> take();
  // The page known to hold `tokens` [kPageTokens] after this prefix, for one sequence more.
  std::optional<uint32_t> share(Prefix prefix, const uint32_t* tokens);
  // Makes it known that a page in use holds these tokens after this prefix. Another page may be
  // known for them already; then it stays the one. Returns what follows it.
  Prefix publish(uint32_t page, Prefix prefix, const uint32_t* tokens);
  // The prefix that ends with a page that is known.
  Prefix prefix_of(uint32_t page) const { return pages_[page].prefix; }
  // One sequence less uses this page.
  void release(uint32_t page);

 private:
  // Prefixes are numbered as they become known and never numbered again, so that a page cannot be
  // taken for one that follows what its predecessor held before.
  using Key = std::pair<Prefix, std::vector<uint32_t>>;
  struct Page {
    uint32_t users = 0;
    Prefix prefix = kBeginning;                 // that ends with this page; kBeginning: not known
    std::map<Key, uint32_t>::iterator known{};  // while it is known
    std::list<uint32_t>::iterator unused{};     // while nobody uses it
  };

  std::vector<Page> pages_;
  std::list<uint32_t> unused_;  // in the order in which they are taken
  std::map<Key, uint32_t> known_;
  Prefix last_prefix_ = kBeginning;
};

}  // namespace proofmill
