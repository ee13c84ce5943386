#include "runner.h"

#include <exception>
#include <utility>

#include "cpu/threads.h"
#include "error.h"

namespace proofmill {

namespace {

// A small model has thousands of layers a second; nobody watches that closely.
constexpr auto kProgressInterval = std::chrono::milliseconds(50);

}  // namespace

Runner::Runner(Model model, std::function<void(uint64_t, Result)> done,
               std::function<void(size_t)> progress)
    : model_(std::move(model)), done_(std::move(done)), progress_(std::move(progress)) {
  thread_ = std::thread([this] { work(); });
}

Runner::~Runner() { close(); }

void Runner::submit(uint64_t ticket, Job job) {
  const size_t context = model_.config().max_position_embeddings;
  const size_t batch = job.input_seeds.size();
  if (batch < 1) fail("input_seeds must hold at least one seed");
  if (job.seq_len < 1 || job.seq_len > context) {
    fail("seq_len must be between 1 and the model's context %zu, not %zu", context, job.seq_len);
  }
  // Inputs are numbered in 32 bits.
  if (job.seq_len > UINT32_MAX / model_.config().hidden_size) {
    fail("seq_len %zu times hidden_size %zu does not fit 32 bits", job.seq_len,
         model_.config().hidden_size);
  }
  if (job.output.kind == OutputKind::distance && job.output.permutation_seeds.size() != batch) {
    fail("permutation_seeds must hold one seed for each of the %zu input_seeds, not %zu", batch,
         job.output.permutation_seeds.size());
  }
  {
    const std::lock_guard lock(mutex_);
    if (closing_) throw Error("the model is closed");
    queue_.push_back({ticket, std::move(job)});
  }
  wake_.notify_one();
}

void Runner::cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : queue_) {
    if (entry.job.id == id) entry.cancelled = true;
  }
}

void Runner::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Runner::work() {
  lower_this_threads_priority();
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const Entry& entry = queue_.front();  // a deque keeps references while others are pushed
    const uint64_t ticket = entry.ticket;
    lock.unlock();
    Result result = execute(entry);
    lock.lock();
    queue_.pop_front();
    lock.unlock();
    done_(ticket, std::move(result));
    lock.lock();
  }
}

Result Runner::execute(const Entry& entry) {
  Result result;
  try {
    const size_t width = model_.output_width(entry.job.output.kind);
    result.values.resize(entry.job.input_seeds.size() * width);
    result.completed = model_.run(entry.job.input_seeds, entry.job.seq_len, entry.job.output,
                                  result.values.data(), [&](size_t layer) {
                                    {
                                      const std::lock_guard lock(mutex_);
                                      if (closing_ || entry.cancelled) return false;
                                    }
                                    const auto now = std::chrono::steady_clock::now();
                                    if (now - last_progress_ >= kProgressInterval) {
                                      last_progress_ = now;
                                      progress_(layer);
                                    }
                                    return true;
                                  });
    result.values.resize(result.completed * width);
  } catch (const std::exception& error) {
    result.error = error.what();
    result.values.clear();
    result.completed = 0;
  }
  return result;
}

}  // namespace proofmill
