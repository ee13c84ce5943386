// How fast a GPU does something.
#pragma once

#include <functional>

#include "device.h"

namespace proofmill::cuda {

// How often a second: the median of five measurements of ten runs. It waits for the device.
double rate(const Device& device, const std::function<void()>& work);

}  // namespace proofmill::cuda
