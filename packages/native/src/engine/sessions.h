// Token sessions: requests that a model answers token by token, all of them together. Each step
// takes one more token of every session that is decoding, and with the rows that are left a part of
// the prompts that are yet to be read; so the weights are read once for all.
//
// Numbers of a row depend on its own sequence alone, so a session's tokens are the same whatever
// runs beside it, however its prompt was divided, and also when it lost its pages and was computed
// again.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "callers_queue.h"
#include "device/threads.h"
#include "kv_pages.h"
#include "model/model.h"
#include "model/token_rows.h"
#include "sampler.h"

namespace proofmill {

struct SessionRequest {
  uint64_t id = 0;
  uint64_t caller = 0;           // callers take turns
  std::vector<uint32_t> prompt;  // at least one token
  size_t max_tokens = 1;
  std::vector<uint32_t> stop_tokens;  // the first of them that is chosen ends the session
  // Taken one after another instead of what would be chosen; their last one ends the session.
  std::vector<uint32_t> enforced_tokens;
  Sampling sampling;
};

enum class Finish { none, stop, length, cancelled, failed };

// What happened to a session in a step: a token, its end, or both.
struct SessionEvent {
  uint64_t id = 0;
  bool has_token = false;
  Sampled token{};
  Finish finish = Finish::none;
  size_t cached_tokens = 0;  // of the prompt, whose keys and values were there already
  std::string error{};       // failed only
  bool device_lost = false;
};

struct SessionLimits {
  size_t pages = 0;         // of the cache, at least one
  size_t max_sessions = 1;  // that run at once; others wait
  size_t max_len = 1;       // tokens of a session, prompt and answer together
  size_t step_rows = 1;     // tokens of all sessions that a step computes, at most
};

struct SessionStats {
  size_t pages = 0, pages_in_use = 0, running = 0, waiting = 0;
  size_t preempted = 0;  // how often a session gave its pages back to be computed again
};

class Sessions {
 public:
  // Sessions that may wait.
  static constexpr size_t kMostWaiting = 8192;

  // Takes memory for the cache. `threads` choose tokens, at least 1. `happened` is called after
  // each step, maybe with nothing.
  Sessions(Model& model, SessionLimits limits, size_t threads,
           std::function<void(std::vector<SessionEvent>)> happened);

  // From any thread. `open` throws Error where a request is not possible; its end is told exactly
  // once. `cancel` of a session that is not there does nothing.
  void open(SessionRequest request);
  void cancel(uint64_t id);
  void close();  // cancels all; later ones are refused
  bool has_work() const;
  SessionStats stats() const;

  // From the thread that has the device.
  void step();

 private:
  struct Session {
    explicit Session(SessionRequest of);
    SessionRequest request;
    Sampler sampler;
    std::vector<uint32_t> tokens;  // the prompt, then the answer
    size_t computed = 0;           // tokens whose keys and values are in pages
    std::vector<uint32_t> pages;
    size_t published = 0;                          // pages that are known, the first ones
    KvPages::Prefix prefix = KvPages::kBeginning;  // that ends with them
    size_t cached = 0;                             // as SessionEvent's, of the first time
    bool begun = false;                            // it has run before

    size_t left() const { return tokens.size() - computed; }
    size_t answered() const { return tokens.size() - request.prompt.size(); }
  };
  using Owned = std::unique_ptr<Session>;
  // A session's part of a step.
  struct Turn {
    Session* session;
    size_t count;
    bool is_read = false;  // logits after its last token are made
    const float* logits = nullptr;
    bool finite = false;
    Sampled token{};
  };

  void take_inbox();
  void admit();
  void plan();
  std::vector<size_t> divide_rows() const;
  bool take_pages(Session& session, size_t positions);
  void give_back_pages(Session& session);
  void compute();
  void choose(Turn& turn) const;
  void settle(const Turn& turn);
  void end(Session& session, Finish finish, const std::string& error = {}, bool lost = false);
  void fail_all(const std::exception& error);
  void forget_ended();

  Model& model_;
  const SessionLimits limits_;
  const std::function<void(std::vector<SessionEvent>)> happened_;
  KvPages pages_;
  TokenRows rows_;
  ThreadPool threads_;
  std::deque<Owned> running_;  // oldest first
  CallersQueue<Owned> waiting_;
  std::vector<Turn> turns_;
  std::vector<float> logits_;  // [max_sessions, vocab_size]
  std::vector<SessionEvent> events_;
  std::vector<Session*> ended_;
  size_t preempted_ = 0;

  mutable std::mutex mutex_;  // of what follows
  std::deque<Owned> opened_;
  std::vector<uint64_t> cancelled_;
  size_t present_ = 0;  // sessions whose end was not told yet
  SessionStats stats_;
  bool closing_ = false;
};

}  // namespace proofmill
