// How fast this machine's memory is read.
#pragma once

#include "device/threads.h"
#include "kernels.h"

namespace proofmill::cpu {

// Bytes per second at which these threads together read memory that no cache holds. It takes about
// half a second and half a GiB.
double read_bandwidth(const Kernels& kernels, ThreadPool& pool);

}  // namespace proofmill::cpu
