#include "threads.h"

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace proofmill {

namespace {

// How often a thread looks for work before it sleeps. Operations of a small model follow each other
// within microseconds, and falling asleep and being woken takes far longer.
constexpr int kSpins = 4000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void lower_this_threads_priority() {
#if defined(__linux__)
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
#endif
}

ThreadPool::ThreadPool(size_t threads, const Cut& cut) : cut_(cut), ranges_(threads) {
  for (size_t worker = 1; worker < threads; worker++) {
    workers_.emplace_back([this, worker] { work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_erased(size_t parts, Call call, void* context) {
  if (parts == 0) return;
  if (workers_.empty() || parts == 1) {
    for (size_t part = 0; part < parts && !cut_.made(); part++) call(context, part, 0);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < size(); i++) {
      ranges_[i].next.store(parts * i / size(), std::memory_order_relaxed);
      ranges_[i].end = parts * (i + 1) / size();
    }
    call_ = call;
    context_ = context;
    error_ = nullptr;
    open_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take_parts(0);
  // No part is left. Wait for the workers that hold one, not for those that have not woken yet.
  for (int i = 0; i < kSpins && inside_.load(std::memory_order_acquire) != 0; i++) pause();
  std::unique_lock lock(mutex_);
  open_ = false;
  done_.wait(lock, [this] { return inside_.load(std::memory_order_relaxed) == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work(size_t worker) {
  lower_this_threads_priority();
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; i++) pause();
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
    seen = generation_.load(std::memory_order_relaxed);
    if (stopping_) return;
    if (!open_) continue;
    inside_.fetch_add(1, std::memory_order_relaxed);
    lock.unlock();
    take_parts(worker);
    lock.lock();
    if (inside_.fetch_sub(1, std::memory_order_release) == 1) done_.notify_one();
  }
}

void ThreadPool::take_parts(size_t worker) {
  try {
    for (size_t i = 0; i < size(); i++) {
      Range& range = ranges_[(worker + i) % size()];
      for (size_t part; (part = range.next.fetch_add(1, std::memory_order_relaxed)) < range.end;) {
        if (cut_.made()) return;
        call_(context_, part, worker);
      }
    }
  } catch (...) {
    for (Range& range : ranges_) range.next.store(range.end, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

}  // namespace proofmill
