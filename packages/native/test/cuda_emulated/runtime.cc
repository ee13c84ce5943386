// The runtime's functions over the CPU's memory: streams that run nothing before somebody waits,
// events, graphs. By the environment:
// - CUDA_EMULATED_FAIL=N: the Nth wait of the process fails, and everything after it, as after
//   an illegal address in a kernel; D:N: in processes alone that use device D;
// - CUDA_EMULATED_ALIKE=1: every device is as the first;
// - CUDA_EMULATED_DRIVER=V: the driver knows CUDA up to V, e.g. 12040; 0: there is no driver;
// - CUDA_EMULATED_MAJOR=M: every device has compute capability M.0;
// - CUDA_VISIBLE_DEVICES="": there is no device, as with CUDA;
// - CUDA_EMULATED_NO_MEMORY=N: the Nth allocation from then on finds no memory, once;
// - CUDA_EMULATED_REPORT=1: at the end of the process it prints what was never freed, and how
//   often memory was freed that work under way may have used.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_runtime.h"

using Work = std::function<void()>;

struct EmulatedGraph {
  const emulated::Held held{};
  std::vector<Work> work;
};

// Held by whoever changes or runs a stream: memory may be freed by another thread.
static std::recursive_mutex streams_mutex;
static std::vector<struct EmulatedStream*> streams;

struct EmulatedStream {
  const emulated::Held held;
  std::deque<Work> pending;
  EmulatedGraph* capturing = nullptr;

  void run_until(const bool* done) {
    const std::lock_guard lock(streams_mutex);
    while (!pending.empty() && (done == nullptr || !*done)) {
      const Work work = std::move(pending.front());
      pending.pop_front();
      work();
    }
  }
};

struct EmulatedEvent {
  const emulated::Held held{};
  EmulatedStream* stream = nullptr;
  std::shared_ptr<bool> reached;
};

namespace {

constexpr size_t kMemory = size_t{8} << 30;

std::mutex mutex;
std::map<const char*, size_t> device_memory, pinned_memory;  // begin -> bytes
size_t used = 0;
bool broken = false;
std::atomic<int> current_device = 0;  // the one that was set last, by any thread
long freed_under_way = 0;

// Whether this allocation is the one that the environment lets fail.
bool finds_no_memory() {
  static std::string known;
  static long left = 0;
  const char* text = std::getenv("CUDA_EMULATED_NO_MEMORY");
  if (known != (text ? text : "")) {
    known = text ? text : "";
    left = std::atol(known.c_str());
  }
  return left > 0 && --left == 0;
}

const struct Report {
  ~Report() {
    if (std::getenv("CUDA_EMULATED_REPORT") == nullptr) return;
    std::fprintf(
        stderr, "emulated CUDA: %zu buffers, %zu pinned, %ld objects left; %ld freed under way\n",
        device_memory.size(), pinned_memory.size(), emulated::objects.load(), freed_under_way);
  }
} report;

cudaError_t allocate(std::map<const char*, size_t>& kind, void** memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  if (broken) return cudaErrorIllegalAddress;
  if (finds_no_memory()) return cudaErrorMemoryAllocation;
  if (&kind == &device_memory && used + bytes > kMemory) return cudaErrorMemoryAllocation;
  const size_t rounded = (bytes + 255) / 256 * 256;
  *memory = std::aligned_alloc(256, rounded == 0 ? 256 : rounded);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  std::memset(*memory, 0xff, rounded);  // NaNs
  kind.emplace(static_cast<const char*>(*memory), bytes);
  if (&kind == &device_memory) used += bytes;
  return cudaSuccess;
}

cudaError_t release(std::map<const char*, size_t>& kind, void* memory) {
  if (memory == nullptr) return cudaSuccess;
  const std::lock_guard lock(mutex);
  const auto found = kind.find(static_cast<const char*>(memory));
  if (found == kind.end()) return cudaErrorInvalidValue;
  if (&kind == &device_memory) used -= found->second;
  kind.erase(found);
  std::free(memory);
  return cudaSuccess;
}

bool inside(const std::map<const char*, size_t>& kind, const void* memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  const auto* at = static_cast<const char*>(memory);
  auto next = kind.upper_bound(at);
  if (next == kind.begin()) return false;
  --next;
  return at + bytes <= next->first + next->second;
}

cudaError_t wait() {
  static const std::string text = [] {
    const char* value = std::getenv("CUDA_EMULATED_FAIL");
    return std::string(value == nullptr ? "-1" : value);
  }();
  static const size_t colon = text.find(':');
  static const bool anywhere = colon == std::string::npos;
  static const long fatal = std::atol(text.c_str() + (anywhere ? 0 : colon + 1));
  static long waits = 0;
  const std::lock_guard lock(mutex);
  if (++waits == fatal && (anywhere || std::atol(text.c_str()) == current_device)) broken = true;
  return broken ? cudaErrorIllegalAddress : cudaSuccess;
}

}  // namespace

namespace emulated {

std::atomic<long> objects{0};

void enqueue(cudaStream_t stream, Work work) {
  const std::lock_guard lock(streams_mutex);
  if (stream->capturing != nullptr) {
    stream->capturing->work.push_back(std::move(work));
  } else {
    stream->pending.push_back(std::move(work));
  }
}

}  // namespace emulated

static int driver_version() {
  const char* text = std::getenv("CUDA_EMULATED_DRIVER");
  return text ? std::atoi(text) : CUDART_VERSION;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (driver_version() < CUDART_VERSION) return cudaErrorInsufficientDriver;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible && *visible == 0) return cudaErrorNoDevice;
  *count = 2;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= 2) return cudaErrorInvalidValue;
  current_device = device;
  return cudaSuccess;
}
// The first one is a Hopper; the second of a later chip, which the driver compiles for.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  if (std::getenv("CUDA_EMULATED_ALIKE") != nullptr) device = 0;
  const char* name = device == 0 ? "Emulated GPU" : "NVIDIA Emulated-2 192GB";
  std::snprintf(properties->name, sizeof properties->name, "%s", name);
  properties->major = device == 0 ? 9 : 10;
  if (const char* major = std::getenv("CUDA_EMULATED_MAJOR")) properties->major = std::atoi(major);
  properties->multiProcessorCount = 2;
  properties->sharedMemPerBlockOptin = 227 * 1024;
  properties->totalGlobalMem = kMemory;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver_version();
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(mutex);
  *free = kMemory - used;
  *total = kMemory;
  return cudaSuccess;
}
// Counts memory that is freed while there is work under way. CUDA waits there, but nobody should
// count on it.
static void finish_all_work() {
  const std::lock_guard lock(streams_mutex);
  for (EmulatedStream* stream : streams) {
    if (!stream->pending.empty()) freed_under_way++;
    stream->run_until(nullptr);
  }
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return allocate(device_memory, memory, bytes);
}
// Waits for all work that may still use it.
cudaError_t cudaFree(void* memory) {
  finish_all_work();
  return release(device_memory, memory);
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return allocate(pinned_memory, memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) {
  if (memory != nullptr) finish_all_work();
  return release(pinned_memory, memory);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  if (height == 0 || width == 0) return cudaSuccess;
  const size_t read = (height - 1) * from_pitch + width, written = (height - 1) * to_pitch + width;
  const bool from_device = kind != cudaMemcpyHostToDevice;
  const bool to_device = kind != cudaMemcpyDeviceToHost;
  if (from_device && !inside(device_memory, from, read)) return cudaErrorInvalidValue;
  if (to_device && !inside(device_memory, to, written)) return cudaErrorInvalidValue;
  const auto copy = [=](const void* source) {
    for (size_t row = 0; row < height; row++) {
      std::memcpy(static_cast<char*>(to) + row * to_pitch,
                  static_cast<const char*>(source) + row * from_pitch, width);
    }
  };
  if (!to_device && !inside(pinned_memory, to, written)) {
    stream->run_until(nullptr);  // pageable memory makes the host wait
    copy(from);
  } else if (!from_device && !inside(pinned_memory, from, read)) {
    const auto* begin = static_cast<const char*>(from);
    auto snapshot = std::make_shared<std::vector<char>>(begin, begin + read);
    emulated::enqueue(stream, [=] { copy(snapshot->data()); });
  } else {
    emulated::enqueue(stream, [=] { copy(from); });
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (!inside(device_memory, memory, bytes)) return cudaErrorInvalidValue;
  emulated::enqueue(stream, [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(streams_mutex);
  *stream = new EmulatedStream;
  streams.push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(streams_mutex);
  std::erase(streams, stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream->capturing != nullptr) return cudaErrorInvalidValue;
  stream->run_until(nullptr);
  return wait();
}
// Whoever asks waits.
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = new EmulatedGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = stream->capturing;
  stream->capturing = nullptr;
  return *graph == nullptr ? cudaErrorInvalidValue : cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new EmulatedGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const Work& work : exec->work) emulated::enqueue(stream, work);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  finish_all_work();
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  event->reached = std::make_shared<bool>(false);
  emulated::enqueue(stream, [reached = event->reached] { *reached = true; });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->reached) event->stream->run_until(event->reached.get());
  return wait();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return broken ? cudaErrorIllegalAddress : cudaSuccess; }
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
