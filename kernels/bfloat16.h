#pragma once

#include <bit>
#include <cstdint>

#include "kernels/random.h"

namespace minnow {

/// The upper half of a float32, rounded to nearest even.
struct bfloat16 {
  uint16_t bits;
  bfloat16() = default;
  MINNOW_HOST_DEVICE explicit bfloat16(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    if (value != value) {
      bits =
          static_cast<uint16_t>((word >> 16) | 0x40);  // stays a NaN whatever the lower half held
    } else {
      bits = static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
    }
  }
  MINNOW_HOST_DEVICE explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

template <class T>
struct WideOf {
  using type = T;
};
template <>
struct WideOf<bfloat16> {
  using type = float;
};
/// The type in which a kernel on arrays of T computes, and in which parameters, statistics and sums
/// are kept: float for bfloat16, otherwise T itself.
template <class T>
using Wide = typename WideOf<T>::type;

template <class T>
MINNOW_HOST_DEVICE inline Wide<T> widen(T x) {
  return static_cast<Wide<T>>(x);
}
template <class T>
MINNOW_HOST_DEVICE inline T narrow(Wide<T> x) {
  return static_cast<T>(x);
}

}  // namespace minnow
