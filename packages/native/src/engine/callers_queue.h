// What waits for its turn. Callers take turns, and of one caller what came first is first: so
// whoever asks for one thing beside a caller who asks for hundreds waits for one of those, not for
// all.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace proofmill {

template <typename T>
class CallersQueue {
 public:
  bool empty() const { return lines_.empty(); }

  size_t size() const {
    size_t size = 0;
    for (const Line& line : lines_) size += line.items.size();
    return size;
  }

  // Behind what its caller has here already; where that is nothing, behind every caller's.
  void push(uint64_t caller, T item) {
    auto line = std::find_if(lines_.rbegin(), lines_.rend(),
                             [caller](const Line& each) { return each.caller == caller; });
    if (line == lines_.rend()) {
      lines_.push_back({caller, {}});
      line = lines_.rbegin();
    }
    line->items.push_back(std::move(item));
  }

  // Before all others: it has had its turn already.
  void push_front(uint64_t caller, T item) {
    lines_.push_front({caller, {}});
    lines_.front().items.push_back(std::move(item));
  }

  // What is next. Not of an empty queue, as `pop`.
  const T& front() const { return lines_.front().items.front(); }

  // Takes out what is next. Its caller has another turn once every other caller has had one.
  T pop() {
    Line line = std::move(lines_.front());
    lines_.pop_front();
    T item = std::move(line.items.front());
    line.items.pop_front();
    if (!line.items.empty()) lines_.push_back(std::move(line));
    return item;
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Line& line : lines_) {
      for (const T& item : line.items) visit(item);
    }
  }

  template <typename Predicate>
  void erase_if(Predicate is_over) {
    for (Line& line : lines_) std::erase_if(line.items, is_over);
    std::erase_if(lines_, [](const Line& line) { return line.items.empty(); });
  }

 private:
  // A caller's. None is empty.
  struct Line {
    uint64_t caller;
    std::deque<T> items;  // oldest first
  };
  std::deque<Line> lines_;  // in the order of their turns
};

}  // namespace proofmill
