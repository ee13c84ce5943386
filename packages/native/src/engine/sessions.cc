#include "sessions.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <new>
#include <utility>

#include "device/error.h"

namespace proofmill {

namespace {

size_t pages_for(size_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

}  // namespace

Sessions::Session::Session(SessionRequest of)
    : request(std::move(of)), sampler(request.sampling, request.prompt), tokens(request.prompt) {}

Sessions::Sessions(Model& model, SessionLimits limits, size_t threads,
                   std::function<void(std::vector<SessionEvent>)> happened)
    : model_(model),
      limits_(limits),
      happened_(std::move(happened)),
      pages_(limits.pages),
      rows_(limits.step_rows, limits.max_sessions, model.backend().steps().fixed),
      threads_(std::min(threads, std::max<size_t>(limits.max_sessions, 1)), model.backend().cut),
      logits_(limits.max_sessions * model.config().vocab_size) {
  if (limits.max_sessions < 1 || limits.max_sessions > limits.step_rows) {
    fail("sessions that run at once must be between 1 and %zu, not %zu", limits.step_rows,
         limits.max_sessions);
  }
  if (limits.max_len < 2 || limits.max_len > limits.pages * kPageTokens) {
    fail("%zu tokens of a session do not fit into %zu pages of %zu tokens", limits.max_len,
         limits.pages, kPageTokens);
  }
  model_.open_cache(limits.pages, limits.step_rows, limits.max_sessions);
  stats_.pages = limits.pages;
}

void Sessions::open(SessionRequest request) {
  const size_t prompt = request.prompt.size(), vocab = model_.config().vocab_size;
  if (prompt < 1) fail("a session's prompt must hold at least one token");
  if (request.max_tokens < 1 || prompt >= limits_.max_len ||
      request.max_tokens > limits_.max_len - prompt) {
    fail("a prompt of %zu tokens and %zu more are not within a session's %zu tokens", prompt,
         request.max_tokens, limits_.max_len);
  }
  for (const auto* tokens : {&request.prompt, &request.enforced_tokens}) {
    for (const uint32_t token : *tokens) {
      if (token >= vocab) fail("token %u is not below the vocabulary's %zu", token, vocab);
    }
  }
  Owned session = std::make_unique<Session>(std::move(request));
  const std::lock_guard lock(mutex_);
  if (closing_) throw Error("the model is closed");
  if (present_ >= limits_.max_sessions + kMostWaiting) {
    fail("%zu sessions are there already, the most that may be", present_);
  }
  present_++;
  opened_.push_back(std::move(session));
}

void Sessions::cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (present_ > 0) cancelled_.push_back(id);
}

void Sessions::close() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  model_.backend().cut.set(true);
}

bool Sessions::has_work() const {
  const std::lock_guard lock(mutex_);
  return present_ > 0;
}

SessionStats Sessions::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Sessions::step() {
  take_inbox();
  forget_ended();
  admit();
  plan();
  if (!turns_.empty()) {
    try {
      compute();
    } catch (const std::exception& error) {
      fail_all(error);
    }
  }
  forget_ended();
  {
    const std::lock_guard lock(mutex_);
    stats_.pages_in_use = pages_.in_use();
    stats_.preempted = preempted_;
    stats_.running = running_.size();
    stats_.waiting = waiting_.size() + opened_.size();
  }
  happened_(std::exchange(events_, {}));
}

void Sessions::take_inbox() {
  std::vector<uint64_t> cancelled;
  bool closing;
  {
    const std::lock_guard lock(mutex_);
    for (Owned& session : opened_) {
      const uint64_t caller = session->request.caller;
      waiting_.push(caller, std::move(session));
    }
    opened_.clear();
    cancelled.swap(cancelled_);
    closing = closing_;
  }
  const auto end_cancelled = [&](const Owned& session) {
    const auto found = std::find(cancelled.begin(), cancelled.end(), session->request.id);
    if (closing || found != cancelled.end()) end(*session, Finish::cancelled);
  };
  for (const Owned& session : running_) end_cancelled(session);
  waiting_.for_each(end_cancelled);
}

// Sessions begin when it is their turn, each once there is room for all that it has.
void Sessions::admit() {
  // Those that run may not have taken all yet that they had room for.
  size_t free = pages_.size();
  for (const Owned& session : running_) {
    free -= std::min(free, pages_for(session->tokens.size() + 1) - session->pages.size());
  }
  while (!waiting_.empty() && running_.size() < limits_.max_sessions) {
    Session& session = *waiting_.front();
    // At least one token is computed, since logits are made after it.
    while ((session.published + 1) * kPageTokens < session.tokens.size()) {
      const uint32_t* tokens = session.tokens.data() + session.published * kPageTokens;
      const auto page = pages_.share(session.prefix, tokens);
      if (!page) break;
      session.pages.push_back(*page);
      session.prefix = pages_.prefix_of(*page);
      session.published++;
    }
    session.computed = session.published * kPageTokens;
    const size_t more = pages_for(session.tokens.size() + 1) - session.pages.size();
    if (!running_.empty() && free < pages_.in_use() + more) {
      give_back_pages(session);
      return;
    }
    free -= std::min(free, more);
    if (!session.begun) session.cached = session.computed;
    session.begun = true;
    running_.push_back(waiting_.pop());
  }
}

// What each session computes in this step.
void Sessions::plan() {
  turns_.clear();
  const std::vector<size_t> counts = divide_rows();
  for (size_t i = 0; i < running_.size(); i++) {
    Session& session = *running_[i];
    if (counts[i] == 0) continue;
    if (!take_pages(session, session.computed + counts[i])) break;
    turns_.push_back({&session, counts[i]});
  }
}

// How many tokens of each running session a step computes. Whoever has one token left decodes. The
// rows that remain are for prompts: each caller who has some to read gets an equal part of them,
// for his oldest first, and what he leaves of it goes to the oldest of all.
std::vector<size_t> Sessions::divide_rows() const {
  std::vector<size_t> counts;        // [running]
  std::map<uint64_t, size_t> parts;  // of the callers who have prompts to read
  size_t rows = limits_.step_rows;
  for (const Owned& session : running_) {
    const bool decodes = session->left() == 1;
    counts.push_back(decodes);
    rows -= decodes;
    if (!decodes) parts[session->request.caller] = 0;
  }
  for (auto& [caller, part] : parts) part = rows / parts.size();
  const auto take = [&](size_t i, size_t most) {
    const size_t more = std::min(running_[i]->left() - counts[i], most);
    counts[i] += more;
    rows -= more;
    return more;
  };
  for (size_t i = 0; i < running_.size(); i++) {
    const auto part = parts.find(running_[i]->request.caller);
    if (part != parts.end()) part->second -= take(i, part->second);
  }
  for (size_t i = 0; i < running_.size(); i++) take(i, rows);
  return counts;
}

// Pages for so many positions. When all are in use the youngest session gives its own back, and is
// computed again later; false when that is this one itself.
bool Sessions::take_pages(Session& session, size_t positions) {
  while (session.pages.size() < pages_for(positions)) {
    const auto page = pages_.take();
    if (page) {
      session.pages.push_back(*page);
      continue;
    }
    Session& youngest = *running_.back();
    give_back_pages(youngest);
    preempted_++;
    waiting_.push_front(youngest.request.caller, std::move(running_.back()));
    running_.pop_back();
    if (&youngest == &session) return false;
  }
  return true;
}

void Sessions::give_back_pages(Session& session) {
  // The last ones first: of pages that are known, those at the beginning are kept longest, since
  // others are of use only after them.
  for (auto page = session.pages.rbegin(); page != session.pages.rend(); ++page) {
    pages_.release(*page);
  }
  session.pages.clear();
  session.published = 0;
  session.prefix = KvPages::kBeginning;
  session.computed = 0;
}

void Sessions::compute() {
  Backend& be = model_.backend();
  const size_t vocab = model_.config().vocab_size;
  {
    const std::lock_guard lock(mutex_);
    be.cut.set(closing_);
  }
  rows_.clear();
  size_t ends = 0;
  for (Turn& turn : turns_) {
    const Session& session = *turn.session;
    turn.is_read = session.left() == turn.count;
    if (turn.is_read) turn.logits = logits_.data() + ends++ * vocab;
    rows_.add({session.tokens.data() + session.computed, turn.count, session.computed,
               session.pages, turn.is_read});
  }
  model_.reserve_positions(rows_.longest());
  be.begin_pass();
  rows_.copy_in(be);
  model_.step(rows_);
  be.copy_out(model_.step_logits(), model_.logits_stride(), ends, vocab, logits_.data());
  be.wait_pass();
  // Sessions choose side by side: what one chooses follows from its own logits alone.
  threads_.run(turns_.size(), [&](size_t i, size_t) { choose(turns_[i]); });
  if (be.cut.made()) return;  // only at the end: the next step cancels all
  for (const Turn& turn : turns_) settle(turn);
}

void Sessions::choose(Turn& turn) const {
  if (!turn.is_read) return;
  Session& session = *turn.session;
  const size_t vocab = model_.config().vocab_size, answered = session.answered();
  turn.finite =
      std::all_of(turn.logits, turn.logits + vocab, [](float x) { return std::isfinite(x); });
  if (!turn.finite) return;
  const std::vector<uint32_t>& enforced = session.request.enforced_tokens;
  const uint32_t* forced = answered < enforced.size() ? &enforced[answered] : nullptr;
  turn.token = session.sampler.next(turn.logits, vocab, forced);
}

// `count` more tokens are computed, and one more is chosen where logits are there.
void Sessions::settle(const Turn& turn) {
  Session& session = *turn.session;
  session.computed += turn.count;
  for (; (session.published + 1) * kPageTokens <= session.computed; session.published++) {
    session.prefix = pages_.publish(session.pages[session.published], session.prefix,
                                    session.tokens.data() + session.published * kPageTokens);
  }
  if (!turn.is_read) return;
  if (!turn.finite) return end(session, Finish::failed, "the model's logits are not finite");
  const SessionRequest& request = session.request;
  const std::vector<uint32_t>& enforced = request.enforced_tokens;
  const size_t answered = session.answered();
  const Sampled& sampled = turn.token;
  session.tokens.push_back(sampled.id);
  events_.push_back({.id = request.id, .has_token = true, .token = sampled});
  const bool is_last = answered + 1 == request.max_tokens || answered + 1 == enforced.size();
  const bool stops = std::count(request.stop_tokens.begin(), request.stop_tokens.end(), sampled.id);
  if (stops && (enforced.empty() || is_last)) {
    end(session, Finish::stop);
  } else if (is_last) {
    end(session, Finish::length);
  }
}

// Tells a session's end; `forget_ended` takes it out.
void Sessions::end(Session& session, Finish finish, const std::string& error, bool lost) {
  give_back_pages(session);
  SessionEvent event{.id = session.request.id, .finish = finish, .cached_tokens = session.cached};
  event.error = error;
  event.device_lost = lost;
  events_.push_back(std::move(event));
  ended_.push_back(&session);
}

void Sessions::fail_all(const std::exception& error) {
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  const bool lost = dynamic_cast<const DeviceLost*>(&error) != nullptr;
  const std::string text =
      memory ? "out of memory: the session could not be computed" : error.what();
  for (const Turn& turn : turns_) {
    const bool is_over = std::count(ended_.begin(), ended_.end(), turn.session);
    if (!is_over) end(*turn.session, Finish::failed, text, lost);
  }
}

void Sessions::forget_ended() {
  const auto is_over = [this](const Owned& session) {
    return std::count(ended_.begin(), ended_.end(), session.get()) > 0;
  };
  std::erase_if(running_, is_over);
  waiting_.erase_if(is_over);
  const std::lock_guard lock(mutex_);
  present_ -= ended_.size();
  ended_.clear();
}

}  // namespace proofmill
