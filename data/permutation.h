#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/random.h"

namespace minnow {

/// 0 .. n - 1 in the random order that `key` names (Fisher and Yates, drawn from the last place
/// down).
inline std::vector<int64_t> permutation(int64_t n, RandomKey key) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  RandomSequence random(key);
  for (int64_t i = n - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
  }
  return order;
}

}  // namespace minnow
