#include "prefill_queue.h"

#include <exception>
#include <new>
#include <utility>

#include "device/error.h"

namespace proofmill {

PrefillQueue::PrefillQueue(Prefill& prefill, std::function<void(uint64_t, Result)> done,
                           std::function<void()> between)
    : prefill_(prefill), done_(std::move(done)), between_(std::move(between)) {}

void PrefillQueue::check(const Job& job) const {
  const size_t longest = prefill_.model().config().longest();
  if (job.input_streams != 1 && job.input_streams != 8) {
    fail("input_streams must be 1 or 8, not %zu", job.input_streams);
  }
  const size_t batch = job.batch();
  if (batch < 1 || job.input_seeds.size() != batch * job.input_streams) {
    fail("input_seeds must hold %zu seeds for each nonce, and at least one nonce's, not %zu",
         job.input_streams, job.input_seeds.size());
  }
  if (job.seq_len < 1 || job.seq_len > longest) {
    fail("seq_len must be between 1 and %zu, not %zu", longest, job.seq_len);
  }
  prefill_.readout(job.output.kind).check(job.output, batch);
}

void PrefillQueue::submit(uint64_t ticket, Job job) {
  check(job);
  const std::lock_guard lock(mutex_);
  if (closing_) throw Error("the model is closed");
  queue_.push_back({ticket, std::move(job)});
}

void PrefillQueue::cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : queue_) {
    if (entry.job.id != id) continue;
    entry.cancelled = true;
    if (&entry == begun_) prefill_.model().backend().cut.set(true);
  }
}

void PrefillQueue::close() {
  const std::lock_guard lock(mutex_);
  closing_ = true;
  if (begun_) prefill_.model().backend().cut.set(true);
}

bool PrefillQueue::has_work() const {
  const std::lock_guard lock(mutex_);
  return !queue_.empty();
}

void PrefillQueue::turn() {
  Entry* entry;
  {
    const std::lock_guard lock(mutex_);
    entry = passes_.size() < prefill_.depth() ? next_entry() : nullptr;
  }
  if (entry) {
    begin_pass(*entry);
  } else if (!passes_.empty()) {
    wait_pass();
  }
  tell_done();
}

void PrefillQueue::wait_passes() {
  while (!passes_.empty()) wait_pass();
  tell_done();
}

// Results are given in the order in which the jobs came.
void PrefillQueue::tell_done() {
  for (;;) {
    std::unique_lock lock(mutex_);
    if (queue_.empty()) break;
    Entry& front = queue_.front();  // a deque keeps references while others are pushed
    if (!front.ended || front.under_way > 0) break;
    const uint64_t ticket = front.ticket;
    Result result = std::move(front.result);
    queue_.pop_front();
    lock.unlock();
    done_(ticket, std::move(result));
  }
}

// The first job that has a pass to begin; null when there is none.
PrefillQueue::Entry* PrefillQueue::next_entry() {
  for (Entry& entry : queue_) {
    if (!entry.ended) return &entry;
  }
  return nullptr;
}

// From now on the backend's cut speaks of `begun`; null: of no job.
void PrefillQueue::look_at_cut(const Entry* begun) {
  const std::lock_guard lock(mutex_);
  begun_ = begun;
  prefill_.model().backend().cut.set(begun && (closing_ || begun->cancelled));
}

void PrefillQueue::begin_layer(const Entry& entry) {
  // Passes of a device that has several under way are not to be mixed with others.
  if (prefill_.depth() > 1) return;
  look_at_cut(nullptr);
  between_();
  look_at_cut(&entry);
}

void PrefillQueue::begin_pass(Entry& entry) {
  const Job& job = entry.job;
  const size_t batch = job.batch(), streams = job.input_streams;
  look_at_cut(&entry);
  try {
    const size_t width = prefill_.readout(job.output.kind).width(job.output);
    entry.result.values.resize(batch * width);
    const size_t sequences = prefill_.sequences_of_pass(job.seq_len, batch - entry.begun);
    const bool whole = prefill_.begin(
        {job.input_seeds.data() + entry.begun * streams, streams, sequences, job.seq_len,
         job.output, entry.begun, entry.result.values.data() + entry.begun * width},
        [&] { begin_layer(entry); });
    if (whole) {
      passes_.push_back({&entry, sequences});
      entry.under_way++;
      entry.begun += sequences;
    }
    entry.ended = !whole || entry.begun == batch;
  } catch (const std::exception& error) {
    fail_entry(entry, error);
  }
  look_at_cut(nullptr);
  settle_values(entry);
}

void PrefillQueue::wait_pass() {
  const UnderWay pass = passes_.front();
  passes_.pop_front();
  Entry& entry = *pass.entry;
  entry.under_way--;
  try {
    prefill_.wait();
    entry.result.completed += pass.sequences;
  } catch (const std::exception& error) {
    fail_entry(entry, error);
  }
  settle_values(entry);
}

void PrefillQueue::fail_entry(Entry& entry, const std::exception& error) {
  entry.ended = true;
  if (!entry.result.error.empty()) return;
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
  entry.result.error =
      memory ? "out of memory: the results of this job could not be held" : error.what();
  entry.result.device_lost = dynamic_cast<const DeviceLost*>(&error) != nullptr;
}

// Once no pass writes values any more, leaves those of finished nonces alone.
void PrefillQueue::settle_values(Entry& entry) {
  if (!entry.ended || entry.under_way > 0) return;
  Result& result = entry.result;
  if (!result.error.empty()) result.completed = 0;
  const Output& output = entry.job.output;
  result.values.resize(result.completed * prefill_.readout(output.kind).width(output));
}

}  // namespace proofmill
