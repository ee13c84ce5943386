// How fast this machine's memory is read.
#pragma once

#include <cstddef>

namespace proofmill {

// Bytes per second at which so many threads together read memory that no cache holds: no product of
// few rows can go through weights faster. It takes about half a second and half a GiB.
double read_bandwidth(size_t threads);

}  // namespace proofmill
