// A block of threads as fibers on one thread of the CPU. Warp by warp they run to the block's next
// barrier, and within a warp lane by lane to the warp's, in an order that
// CUDA_EMULATED_ORDER=reverse turns round: results that differ between the two orders betray a
// missing barrier.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_runtime.h"

namespace emulated {

Position here;
void* dynamic_shared;

namespace {

#if defined(__x86_64__)
// Saves what a call must preserve on the stack that it leaves, and takes up another.
extern "C" void proofmill_switch_stack(void** left, void* taken);
asm(R"(
.text
.type proofmill_switch_stack, @function
proofmill_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size proofmill_switch_stack, .-proofmill_switch_stack
)");
#else
#error "the emulation switches stacks on x86-64 alone"
#endif

constexpr size_t kStack = 256 * 1024;

struct Fiber {
  enum class State { ready, block_barrier, warp_barrier, ended } state = State::ended;
  std::unique_ptr<char[]> stack{new char[kStack]};
  void* pointer = nullptr;  // of its stack, while it does not run
  dim3 thread;
};

// Its operation that waits for lanes.
struct Warp {
  void* arguments[32];
  int arrived = 0;
};

Warp warps[32];

std::vector<std::unique_ptr<Fiber>> fibers;
Fiber* running = nullptr;
void* scheduler_pointer;
const std::function<void()>* body;

[[noreturn]] void die(const char* text) {
  std::fprintf(stderr, "emulated CUDA: %s, block (%u, %u, %u), thread %u\n", text, here.block.x,
               here.block.y, here.block.z, here.thread.x);
  std::abort();
}

const bool reverse = [] {
  const char* order = std::getenv("CUDA_EMULATED_ORDER");
  return order != nullptr && std::strcmp(order, "reverse") == 0;
}();

// The next fiber of a warp that can go on, at the turn of that number or after it; null: none can.
Fiber* ready_in(size_t warp, size_t turn) {
  for (; turn < 32; turn++) {
    Fiber& fiber = *fibers[warp * 32 + (reverse ? 31 - turn : turn)];
    if (fiber.state == Fiber::State::ready) return &fiber;
  }
  return nullptr;
}

// Goes on with a fiber in the place of what runs, which is taken up again by its pointer.
void go_on_with(Fiber& fiber, void** left) {
  running = &fiber;
  here.thread = fiber.thread;
  proofmill_switch_stack(left, fiber.pointer);
}

// The running fiber waits. The warp's next one goes on at once, or the scheduler where there is
// none.
void leave(Fiber::State state) {
  Fiber& own = *running;
  own.state = state;
  const size_t lane = own.thread.x % 32;
  Fiber* next = ready_in(own.thread.x / 32, (reverse ? 31 - lane : lane) + 1);
  if (next != nullptr) return go_on_with(*next, &own.pointer);
  proofmill_switch_stack(&own.pointer, scheduler_pointer);
}

void run_thread() {
  (*body)();
  leave(Fiber::State::ended);
  die("a thread ran on after its end");
}

void prepare(Fiber& fiber, unsigned x) {
  fiber.thread = dim3(x);
  fiber.state = Fiber::State::ready;
  // The stack as if run_thread had been called: aligned as a function expects it, and below that
  // the six registers that proofmill_switch_stack restores.
  const auto top = (reinterpret_cast<uintptr_t>(fiber.stack.get()) + kStack) & ~uintptr_t{63};
  auto* slot = reinterpret_cast<void**>(top - 64);
  *slot = reinterpret_cast<void*>(run_thread);
  fiber.pointer = slot - 6;
  for (int i = 1; i <= 6; i++) slot[-i] = nullptr;
}

// Runs a warp until none of its lanes can go on: the stacks of 32 fibers stay in the nearest cache.
// Whether any could.
bool run_warp(size_t warp) {
  bool moved = false;
  while (Fiber* next = ready_in(warp, 0)) {
    go_on_with(*next, &scheduler_pointer);
    moved = true;
  }
  return moved;
}

void run_block(size_t threads) {
  for (size_t i = 0; i < threads; i++) prepare(*fibers[i], static_cast<unsigned>(i));
  for (Warp& warp : warps) warp.arrived = 0;
  for (;;) {
    bool moved = false;
    const size_t count = threads / 32;
    for (size_t n = 0; n < count; n++) moved |= run_warp(reverse ? count - 1 - n : n);
    size_t ended = 0, waiting = 0;
    for (size_t i = 0; i < threads; i++) {
      ended += fibers[i]->state == Fiber::State::ended;
      waiting += fibers[i]->state == Fiber::State::block_barrier;
    }
    if (ended == threads) return;
    if (waiting > 0 && waiting + ended == threads) {
      for (size_t i = 0; i < threads; i++) {
        if (fibers[i]->state == Fiber::State::block_barrier) fibers[i]->state = Fiber::State::ready;
      }
    } else if (!moved) {
      die("threads wait at different barriers");
    }
  }
}

}  // namespace

void block_barrier() { leave(Fiber::State::block_barrier); }

void warp_collective(void* arguments, void (*work)(void* const*)) {
  const size_t first = here.thread.x / 32 * 32;
  Warp& warp = warps[first / 32];
  warp.arguments[here.thread.x % 32] = arguments;
  if (++warp.arrived < 32) return leave(Fiber::State::warp_barrier);
  work(warp.arguments);  // the last lane to arrive does it for all
  warp.arrived = 0;
  for (size_t lane = 0; lane < 32; lane++) fibers[first + lane]->state = Fiber::State::ready;
}

void run_grid(dim3 grid, dim3 block, size_t shared, const std::function<void()>& thread) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (block.y != 1 || block.z != 1 || threads % 32 != 0 || threads > 1024) {
    die("blocks must be whole warps in one dimension, at most 1024 threads");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) die("a grid must not be empty");
  static std::mutex one_grid_at_a_time;  // several models may run in one process
  const std::lock_guard lock(one_grid_at_a_time);
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  // Exactly as large as asked for, so that a checker of addresses sees what lies outside.
  const std::unique_ptr<uint4[]> memory(new uint4[(shared + 15) / 16]);
  dynamic_shared = memory.get();
  body = &thread;
  for (unsigned z = 0; z < grid.z; z++) {
    for (unsigned y = 0; y < grid.y; y++) {
      for (unsigned x = 0; x < grid.x; x++) {
        std::memset(memory.get(), 0xff, (shared + 15) / 16 * 16);
        here = {dim3(), dim3(x, y, z), block, grid};
        run_block(threads);
      }
    }
  }
}

namespace {

float widen(uint32_t half) {
  const uint32_t bits = half << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace

// mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32: d += a * b, with the fragments laid out as
// the PTX ISA has them.
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Arguments {
    float* d;
    const uint32_t* a;
    uint32_t b[2];
  } arguments{d, a, {b0, b1}};
  warp_collective(&arguments, [](void* const* all) {
    float a_[16][16], b_[16][8];
    for (int lane = 0; lane < 32; lane++) {
      const auto* own = static_cast<Arguments*>(all[lane]);
      const int group = lane / 4, pair = lane % 4 * 2;
      for (int half = 0; half < 2; half++) {
        for (int r = 0; r < 4; r++) {
          a_[group + r % 2 * 8][pair + r / 2 * 8 + half] = widen(own->a[r] >> (16 * half) & 0xffff);
        }
        for (int r = 0; r < 2; r++) {
          b_[pair + r * 8 + half][group] = widen(own->b[r] >> (16 * half) & 0xffff);
        }
      }
    }
    for (int lane = 0; lane < 32; lane++) {
      auto* own = static_cast<Arguments*>(all[lane]);
      for (int r = 0; r < 4; r++) {
        const int row = lane / 4 + r / 2 * 8, column = lane % 4 * 2 + r % 2;
        float sum = own->d[r];
        for (int k = 0; k < 16; k++) sum += a_[row][k] * b_[k][column];
        own->d[r] = sum;
      }
    }
  });
}

// ldmatrix.sync.aligned.m8n8.x4[.trans].shared.b16: thread i gives the address of row i % 8 of
// matrix i / 8.
void ldmatrix(uint32_t (&r)[4], const void* row, bool transposed) {
  struct Arguments {
    uint32_t* r;
    const void* row;
    bool transposed;
  } arguments{r, row, transposed};
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) die("ldmatrix of an address off 16 bytes");
  warp_collective(&arguments, [](void* const* all) {
    for (int lane = 0; lane < 32; lane++) {
      auto* own = static_cast<Arguments*>(all[lane]);
      for (int m = 0; m < 4; m++) {
        uint32_t value = 0;
        for (int half = 0; half < 2; half++) {
          const int at = lane % 4 * 2 + half;
          const int i = own->transposed ? at : lane / 4, j = own->transposed ? lane / 4 : at;
          const auto* source =
              static_cast<const uint16_t*>(static_cast<Arguments*>(all[m * 8 + i])->row);
          value |= static_cast<uint32_t>(source[j]) << (16 * half);
        }
        own->r[m] = value;
      }
    }
  });
}

}  // namespace emulated
