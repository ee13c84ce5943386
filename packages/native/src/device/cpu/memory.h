// Memory for weights and activations.
#pragma once

#include "device/backend.h"

namespace proofmill::cpu {

// At least so many bytes, aligned to 64; their values are whatever they were. Throws where there
// are none.
Buffer allocate(size_t bytes);

}  // namespace proofmill::cpu
