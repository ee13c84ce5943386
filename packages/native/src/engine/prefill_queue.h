// Jobs for a model, which run in the order they came. Passes of the next job
// begin while the last ones of a job are under way, as far as the device's depth allows.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

#include "prefill.h"

namespace proofmill {

struct Job {
  uint64_t id = 0;
  size_t seq_len = 0;
  // Streams that a nonce's inputs are drawn in, each under a seed of its own: 1, or 8 for the
  // stronger generator.
  size_t input_streams = 1;
  std::vector<uint32_t> input_seeds;  // [batch, input_streams]
  Output output;

  size_t batch() const { return input_seeds.size() / input_streams; }
};

struct Result {
  size_t completed = 0;
  std::vector<float> values;  // [completed, width of the readout]
  std::string error;          // not empty: the job failed
  bool device_lost = false;   // so will every other one
};

class PrefillQueue {
 public:
  // Both are called from `turn`: `between` between two layers of a pass, where another's operations
  // may run.
  PrefillQueue(Prefill& prefill, std::function<void(uint64_t ticket, Result)> done,
               std::function<void()> between);

  // --- From any thread ---
  // Throws Error where the job is not possible.
  void check(const Job& job) const;
  // Queues a job; `done` is called exactly once with the ticket. Throws Error where the job is not
  // possible.
  void submit(uint64_t ticket, Job job);
  // Cuts every job of this id, queued ones too, in the middle of a layer.
  void cancel(uint64_t id);
  // Cuts everything; later jobs are refused. Idempotent.
  void close();
  bool has_work() const;

  // --- From the thread that has the device ---
  // Begins one pass or waits for one, and tells which jobs are done. There must be work.
  void turn();
  // Waits for the passes under way.
  void wait_passes();

 private:
  struct Entry {
    uint64_t ticket;
    Job job;
    bool cancelled = false;
    Result result{};
    size_t begun = 0, under_way = 0;  // nonces of begun passes; passes not yet waited for
    bool ended = false;               // no pass will begin any more
  };
  struct UnderWay {
    Entry* entry;
    size_t sequences;
  };
  Entry* next_entry();
  void look_at_cut(const Entry* begun);
  void begin_layer(const Entry& entry);
  void tell_done();
  void begin_pass(Entry& entry);
  void wait_pass();
  void fail_entry(Entry& entry, const std::exception& error);
  void settle_values(Entry& entry);

  Prefill& prefill_;
  std::function<void(uint64_t, Result)> done_;
  std::function<void()> between_;
  mutable std::mutex mutex_;
  std::deque<Entry> queue_;      // in the order they came, and are done
  std::deque<UnderWay> passes_;  // under way, of the device's thread alone
  const Entry* begun_ =
      nullptr;  // the job that a pass is begun of, which the backend's cut speaks of
  bool closing_ = false;
};

}  // namespace proofmill
