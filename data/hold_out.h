#pragma once

#include <cstdint>

#include "data/dataset.h"
#include "kernels/random.h"

namespace minnow {

/// Whether an example of a data set without a test split is in `split`: a tenth of all, chosen by a
/// hash of the id and the same in every run, is the test split.
inline bool held_for(Split split, int64_t id) {
  constexpr uint64_t kHoldOutSeed = 0x6d696e6e6f77;  // not a run's: the split must not move with it
  constexpr double kHeldOut = 0.1;
  const uint64_t place = static_cast<uint64_t>(id % kFirstTestId);
  const RandomKey key{kHoldOutSeed, stream::shuffle, 0, place};
  return (key.uniform(0) < kHeldOut) == (split == Split::test);
}

}  // namespace minnow
