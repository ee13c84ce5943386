// A fixed set of threads that do the parts of one operation at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "cut.h"

namespace proofmill {

class ThreadPool {
 public:
  // `threads` counts the caller's own: 1 starts none. Once `cut` is made, parts that no thread has
  // begun are left out.
  ThreadPool(size_t threads, const Cut& cut);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t size() const { return workers_.size() + 1; }

  // Calls fn(part, worker) once for each part in [0, parts), worker in [0, size()), and returns
  // when all are done. Each thread goes through a range of its own, in order, since neighbours
  // share what they read, and then helps with the others', so that a busy core delays one part
  // only. The first exception is thrown here once all threads have stopped. Not reentrant.
  template <class Fn>
  void run(size_t parts, Fn&& fn) {
    using F = std::remove_reference_t<Fn>;
    run_erased(
        parts, [](void* f, size_t part, size_t worker) { (*static_cast<F*>(f))(part, worker); },
        const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
  }

 private:
  using Call = void (*)(void*, size_t, size_t);
  void run_erased(size_t parts, Call call, void* context);
  void work(size_t worker);
  void take_parts(size_t worker);

  // Parts of a range that no thread has taken yet: [next, end).
  struct alignas(64) Range {
    std::atomic<size_t> next{0};
    size_t end = 0;
  };
  const Cut& cut_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<size_t> inside_{0};
  bool open_ = false, stopping_ = false;
  std::vector<Range> ranges_;  // one for each thread
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::exception_ptr error_;
};

// Puts the calling thread below the process's others, since serving comes before searching.
void lower_this_threads_priority();

}  // namespace proofmill
