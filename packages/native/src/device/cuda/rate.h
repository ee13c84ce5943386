// How fast a GPU does something.
#pragma once

#include <functional>

#include "device.h"
#include "memory.h"

namespace proofmill::cuda {

// How often a second: the median of five measurements of ten runs. It waits for the device.
double rate(const Device& device, const std::function<void()>& work);
// Bytes per second at which all multiprocessors together read memory that no cache holds.
double read_rate(const Device& device, const Memory& memory);

}  // namespace proofmill::cuda
