#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace minnow::test {

/// Under sanitizers, which take ten times as long, the longest tests run fewer combinations of what
/// the release build runs all of: MINNOW_QUICK is set there.
inline bool quick() {
  return std::getenv("MINNOW_QUICK") != nullptr;
}

inline std::vector<std::string> golden_strategies() {
  if (quick()) return {"instantiate", "norm_only"};
  return {"automatic", "instantiate", "norm_only", "loop"};
}
inline std::vector<int64_t> golden_waves() {
  return quick() ? std::vector<int64_t>{0, 3} : std::vector<int64_t>{0, 1, 3};
}

}  // namespace minnow::test
