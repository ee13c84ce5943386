// How many sums the peak loop keeps in registers: enough to hide a multiply-add's latency.
#pragma once

#include "simd.h"

namespace proofmill::PROOFMILL_ISA {

constexpr int kPeakSums = kTileRows * kTilePanels * kVectors;
constexpr size_t kPeakFlopsEach = size_t{2} * kLanes * kPeakSums;

}  // namespace proofmill::PROOFMILL_ISA
