// A model at work: jobs of a search and token sessions, on one thread that has the device. Where
// both want it each has half of its time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "prefill_queue.h"
#include "sessions.h"

namespace proofmill {

// What is told of the work, on the engine's thread.
struct EngineEvents {
  std::function<void(uint64_t ticket, Result)> done;
  std::function<void(std::vector<SessionEvent>)> sessions;
};

class Engine {
 public:
  // `threads`: that choose tokens of sessions, at least 1.
  Engine(Model model, EngineEvents events, size_t threads);
  ~Engine();

  Prefill& prefill() { return prefill_; }
  // As PrefillQueue's and Sessions'.
  void check(const Job& job) const { queue_.check(job); }
  void submit(uint64_t ticket, Job job);
  void cancel(uint64_t id) { queue_.cancel(id); }
  // Takes memory for token sessions. Call it once, while there is no work.
  void open_sessions(SessionLimits limits);
  void open_session(SessionRequest request);
  void cancel_session(uint64_t id);
  SessionStats session_stats() const { return sessions_ ? sessions_->stats() : SessionStats{}; }
  // Cuts everything and ends the thread; later work is refused. Idempotent; waits for what a device
  // has been given.
  void close();

 private:
  using Clock = std::chrono::steady_clock;

  bool sessions_wait() const { return sessions_ && sessions_->has_work(); }
  void work();
  void give_sessions_their_share();
  void wake();

  Prefill prefill_;
  const size_t threads_;
  std::function<void(std::vector<SessionEvent>)> session_events_;
  std::unique_ptr<Sessions> sessions_;  // null until there is room for them
  PrefillQueue queue_;
  // Of the engine's thread: since when a search has had the device, and for how long sessions may
  // have it then.
  Clock::time_point since_{};
  Clock::duration owed_{};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace proofmill
