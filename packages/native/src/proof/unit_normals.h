// A random direction: what targets and reflections are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace proofmill {

// The n normals of a seed, divided by their L2 norm.
std::vector<float> unit_normals(uint32_t seed, size_t n);

}  // namespace proofmill
