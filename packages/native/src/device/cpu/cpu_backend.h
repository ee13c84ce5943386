// For those who bring kernels of their own: others ask backend.h for an ISA by name.
#pragma once

#include "device/backend.h"
#include "kernels.h"

namespace proofmill {

std::unique_ptr<Backend> make_cpu_backend(Precision precision, size_t threads,
                                          const Kernels& kernels, PassLimits limits = {});

}  // namespace proofmill
