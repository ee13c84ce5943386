// Whether what is being computed is still wanted. One thread sets it, others look at it now and
// then.
//
// It is no std::atomic: kernels are compiled once for each instruction set, and of an inline
// function of the library the linker keeps one copy for all of them, maybe of a set that this CPU
// lacks.
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
