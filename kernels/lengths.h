#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace minnow {

/// How many of `tokens` example b has: lengths[b], or all where lengths is null. One that is out of
/// range, as the values on a GPU may be, stands for the nearest in range.
MINNOW_HOST_DEVICE inline int64_t live_tokens(const int64_t* lengths, int64_t b, int64_t tokens) {
  const int64_t length = lengths == nullptr ? tokens : lengths[b];
  return length < 0 ? 0 : (length > tokens ? tokens : length);
}

}  // namespace minnow
