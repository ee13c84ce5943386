// While a FlushDenormals lives, its thread takes denormal float32 numbers for zero, as instructions
// for bf16 always do. So ISAs with and without such instructions give equal bits.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace proofmill {

class FlushDenormals {
 public:
  explicit FlushDenormals(bool wanted) : before_(get()) {
    if (wanted) set(before_ | kFlush);
  }
  ~FlushDenormals() { set(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr uint64_t kFlush = 0x8040;  // MXCSR: flush to zero, denormals are zeros
  static uint64_t get() { return _mm_getcsr(); }
  static void set(uint64_t value) { _mm_setcsr(static_cast<uint32_t>(value)); }
#elif defined(__aarch64__)
  static constexpr uint64_t kFlush = 1 << 24;  // FPCR.FZ
  static uint64_t get() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void set(uint64_t value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#endif

  const uint64_t before_;
};

}  // namespace proofmill
