// Says that nobody wants what is being computed. One thread makes it, others look at it now and
// then.
//
// No std::atomic: kernels are compiled once for each instruction set, and the linker might take an
// inline function of the library from any of them for all.
#pragma once

namespace proofmill {

class Cut {
 public:
  [[gnu::always_inline]] bool made() const { return __atomic_load_n(&made_, __ATOMIC_RELAXED); }
  [[gnu::always_inline]] void set(bool made) { __atomic_store_n(&made_, made, __ATOMIC_RELAXED); }

 private:
  bool made_ = false;
};

}  // namespace proofmill
