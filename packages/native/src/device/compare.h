// Every operation of a backend against another backend's, on ragged shapes: the part of the
// self-test that a device's new driver, library or chip may fail.
#pragma once

#include <string>
#include <vector>

#include "backend.h"

namespace proofmill {

struct OperationCheck {
  std::string operation, shape;
  // The greatest difference in shares of the values' root mean square; NaN where a value is NaN. Of
  // a permutation: how many indices differ.
  double error;
  double allowed;

  bool holds() const { return error <= allowed; }  // false for NaN
};

// `reference` is the CPU's backend, of the same precision.
std::vector<OperationCheck> compare_operations(Backend& backend, Backend& reference,
                                               Precision precision);

}  // namespace proofmill
