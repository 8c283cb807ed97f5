#pragma once

#include <algorithm>
#include <cstdint>

namespace minnow::cpu {

/// Places [begin, end) along an axis.
struct Span {
  int64_t begin, end;
};

/// Of the `out` windows along an axis, `stride` apart, those whose element `offset` from the first
/// window's begin (below 0: in the padding) lies among the `size` elements of the axis.
inline Span inside(int64_t out, int64_t size, int64_t stride, int64_t offset) {
  const int64_t begin = std::min(out, offset >= 0 ? 0 : (stride - 1 - offset) / stride);
  const int64_t last = size - 1 - offset;
  return {begin, last < 0 ? begin : std::max(begin, std::min(out, last / stride + 1))};
}

}  // namespace minnow::cpu
