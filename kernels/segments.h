#pragma once

#include <cstdint>

namespace minnow {

/// Runs of rows (or of examples), one for each group: group j owns bounds[j] .. bounds[j + 1].
struct Segments {
  int64_t groups = 0;
  const int64_t* bounds = nullptr;         ///< [groups + 1], in host memory
  const int64_t* device_bounds = nullptr;  ///< the same for kernels; on the CPU the same pointer
};

}  // namespace minnow
