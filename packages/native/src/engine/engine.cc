#include "engine.h"

#include <utility>

#include "device/error.h"
#include "device/threads.h"

namespace proofmill {

Engine::Engine(Model model, EngineEvents events, size_t threads)
    : prefill_(std::move(model)),
      threads_(threads),
      session_events_(std::move(events.sessions)),
      queue_(prefill_, std::move(events.done), [this] { give_sessions_their_share(); }) {
  thread_ = std::thread([this] { work(); });
}

Engine::~Engine() { close(); }

void Engine::submit(uint64_t ticket, Job job) {
  queue_.submit(ticket, std::move(job));
  wake();
}

void Engine::open_sessions(SessionLimits limits) {
  const std::lock_guard lock(mutex_);
  if (sessions_) throw Error("the model has room for token sessions already");
  if (!prefill_.model().takes_tokens()) {
    throw Error("the model was loaded without its embeddings, and takes no tokens");
  }
  sessions_ = std::make_unique<Sessions>(prefill_.model(), limits, threads_, session_events_);
}

void Engine::open_session(SessionRequest request) {
  if (!sessions_) throw Error("the model was loaded without room for token sessions");
  sessions_->open(std::move(request));
  wake();
}

void Engine::cancel_session(uint64_t id) {
  if (sessions_) sessions_->cancel(id);
}

void Engine::close() {
  queue_.close();
  if (sessions_) sessions_->close();
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Engine::wake() {
  // Whoever waits has looked for work under this lock.
  const std::lock_guard lock(mutex_);
  wake_.notify_one();
}

void Engine::work() {
  lower_this_threads_priority();
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closing_ || queue_.has_work() || sessions_wait(); });
    }
    if (queue_.has_work()) {
      since_ = Clock::now();
      queue_.turn();
      if (sessions_wait()) {
        // Results are waited for in the order in which passes began.
        queue_.wait_passes();
        give_sessions_their_share();
      }
    } else if (sessions_wait()) {
      sessions_->step();
    } else {
      return;
    }
  }
}

// As much time as the search has had since it was last looked at. What sessions leave is not kept
// for them.
void Engine::give_sessions_their_share() {
  const Clock::time_point begin = Clock::now();
  owed_ += begin - since_;
  since_ = begin;
  while (owed_ > Clock::duration::zero() && sessions_wait()) {
    sessions_->step();
    const Clock::time_point end = Clock::now();
    owed_ -= end - since_;
    since_ = end;
  }
  if (!sessions_wait()) owed_ = Clock::duration::zero();
}

}  // namespace proofmill
