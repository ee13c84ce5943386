// What those who compute and those who wait for it tell each other: whether it is still wanted, and
// whether it gets on. The ones look now and then, and show by looking that they are still at work;
// threads of others set the first and take the second.
//
// These are no std::atomic: kernels are compiled once for each instruction set, and of an inline
// function of the library the linker keeps one copy for all of them, maybe of a set that this CPU
// lacks.
#pragma once

#include <cstdint>

namespace proofmill {

class Cut {
 public:
  Cut() = default;
  Cut(const Cut&) = delete;
  Cut& operator=(const Cut&) = delete;

  // To be asked between parts of the work.
  [[gnu::always_inline]] bool made() const {
    show_progress();
    return __atomic_load_n(&made_, __ATOMIC_RELAXED);
  }
  [[gnu::always_inline]] void set(bool made) { __atomic_store_n(&made_, made, __ATOMIC_RELAXED); }

  // Another part of the work was done. It writes only where the last one was taken notice of: many
  // threads read these words, and a write makes all of them fetch them again.
  [[gnu::always_inline]] void show_progress() const {
    if (__atomic_load_n(progress_, __ATOMIC_RELAXED) == 0) {
      __atomic_store_n(progress_, 1, __ATOMIC_RELAXED);
    }
  }
  // Where progress is shown from now on, as 1; whoever takes notice makes it 0. It must outlive
  // this.
  void show_progress_at(int32_t* progress) { progress_ = progress; }

 private:
  bool made_ = false;
  int32_t nobody_ = 0;
  int32_t* progress_ = &nobody_;
};

}  // namespace proofmill
