// The part of `compare_operations` that token sessions need beside a search.
#pragma once

#include "compare.h"

namespace proofmill {

std::vector<OperationCheck> compare_tokens(Backend& backend, Backend& reference,
                                           Precision precision);

}  // namespace proofmill
