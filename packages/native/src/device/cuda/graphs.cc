#include "graphs.h"

namespace proofmill::cuda {

namespace {

// Graphs that are kept: of a length, one for the layers and one for each readout.
constexpr size_t kMaxGraphs = 64;

}  // namespace

void Graphs::run(uint64_t key, const std::function<void()>& operations) {
  const auto found = graphs_.find(key);
  if (found == graphs_.end()) {
    operations();
    if (cut_.made()) return;  // some may have been left out: they have not all run
    if (graphs_.size() >= kMaxGraphs) discard();
    graphs_.emplace(key, nullptr);
    return;
  }
  cudaGraphExec_t graph = found->second;
  // Operations may discard every graph: `found` is not used any more.
  if (!graph) graphs_[key] = graph = record(operations);
  PROOFMILL_CUDA(device_, cudaGraphLaunch(graph, device_.stream));
}

void Graphs::discard() {
  PROOFMILL_CUDA(device_, cudaStreamSynchronize(device_.stream));
  destroy();
}

cudaGraphExec_t Graphs::record(const std::function<void()>& operations) {
  PROOFMILL_CUDA(device_, cudaStreamBeginCapture(device_.stream, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  recording_ = true;
  try {
    operations();
  } catch (...) {
    recording_ = false;
    cudaStreamEndCapture(device_.stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  recording_ = false;
  PROOFMILL_CUDA(device_, cudaStreamEndCapture(device_.stream, &graph));
  cudaGraphExec_t exec = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  PROOFMILL_CUDA(device_, error);
  return exec;
}

void Graphs::destroy() {
  for (const auto& [key, graph] : graphs_) {
    if (graph) cudaGraphExecDestroy(graph);
  }
  graphs_.clear();
}

}  // namespace proofmill::cuda
