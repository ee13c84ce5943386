#include "kv_pages.h"

#include "device/paged_rows.h"

namespace proofmill {

KvPages::KvPages(size_t pages) : pages_(pages) {
  for (uint32_t page = 0; page < pages; page++) {
    pages_[page].unused = unused_.insert(unused_.end(), page);
  }
}

std::optional<uint32_t> KvPages::take() {
  if (unused_.empty()) return std::nullopt;
  const uint32_t number = unused_.front();
  unused_.pop_front();
  Page& page = pages_[number];
  page.users = 1;
  if (page.prefix != kBeginning) known_.erase(page.known);
  page.prefix = kBeginning;
  return number;
}

std::optional<uint32_t> KvPages::share(Prefix prefix, const uint32_t* tokens) {
  const auto found = known_.find({prefix, {tokens, tokens + kPageTokens}});
  if (found == known_.end()) return std::nullopt;
  Page& page = pages_[found->second];
  if (page.users++ == 0) unused_.erase(page.unused);
  return found->second;
}

KvPages::Prefix KvPages::publish(uint32_t number, Prefix prefix, const uint32_t* tokens) {
  const auto [entry, added] = known_.insert({Key{prefix, {tokens, tokens + kPageTokens}}, number});
  if (!added) return pages_[entry->second].prefix;
  Page& page = pages_[number];
  page.prefix = ++last_prefix_;
  page.known = entry;
  return page.prefix;
}

void KvPages::release(uint32_t number) {
  Page& page = pages_[number];
  if (--page.users > 0) return;
  // What is not known can be of no more use: it is taken first.
  const auto place = page.prefix == kBeginning ? unused_.begin() : unused_.end();
  page.unused = unused_.insert(place, number);
}

}  // namespace proofmill
