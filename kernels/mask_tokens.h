#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace minnow {

/// How many places a window of `kernel` finds in so many frames, `stride` apart: 0 where it does
/// not fit.
MINNOW_HOST_DEVICE inline int64_t window_count(int64_t frames, int64_t kernel, int64_t stride) {
  return frames < kernel ? 0 : (frames - kernel) / stride + 1;
}

}  // namespace minnow

namespace minnow::cpu {

/// y[e, t, :] = x[e, t, :] for t < lengths[e] and 0 from there on; x [examples, tokens, width].
/// Padding is not read. Overwrites y, which may be x; its own backward pass.
template <class T>
void mask_tokens(int64_t examples, int64_t tokens, int64_t width, const int64_t* lengths,
                 const T* x, T* y);

/// to[i] = window_count(from[i], kernel, stride).
void window_counts(int64_t n, int64_t kernel, int64_t stride, const int64_t* from, int64_t* to);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void mask_tokens(int64_t examples, int64_t tokens, int64_t width, const int64_t* lengths,
                 const T* x, T* y);
void window_counts(int64_t n, int64_t kernel, int64_t stride, const int64_t* from, int64_t* to);

}  // namespace minnow::cuda
