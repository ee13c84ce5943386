// A model with a thread of its own that runs jobs in the order they came.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "model.h"

namespace proofmill {

struct Job {
  uint64_t id = 0;
  size_t seq_len = 0;
  std::vector<uint32_t> input_seeds;  // [batch]
  Output output;
};

struct Result {
  size_t completed = 0;
  std::vector<float> values;  // [completed, output_width]
  std::string error;          // not empty: the job failed
};

class Runner {
 public:
  // `done` and `progress` are called on the runner's thread.
  Runner(Model model, std::function<void(uint64_t ticket, Result)> done,
         std::function<void(size_t layers_done)> progress);
  ~Runner();

  Model& model() { return model_; }
  // Queues a job; `done` is called exactly once with the ticket. Throws Error when the job cannot
  // be.
  void submit(uint64_t ticket, Job job);
  // Cuts every job of this id, queued ones too.
  void cancel(uint64_t id);
  // Cuts everything and ends the thread; later jobs are refused. Idempotent; waits at most a layer.
  void close();

 private:
  struct Entry {
    uint64_t ticket;
    Job job;
    bool cancelled = false;
  };
  void work();
  Result execute(const Entry& entry);

  Model model_;
  std::function<void(uint64_t, Result)> done_;
  std::function<void(size_t)> progress_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> queue_;  // the front one is at work
  bool closing_ = false;
  std::chrono::steady_clock::time_point last_progress_{};
  std::thread thread_;
};

}  // namespace proofmill
