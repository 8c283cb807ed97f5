#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow {

/// Sizes of x [B, T, C] and of the weight [C, 1, k], k odd.
struct DepthwiseShape {
  int64_t batch = 0, frames = 0, channels = 0, kernel = 1;
  /// Frames of zeros before the first and after the last: as many outputs as inputs.
  constexpr int64_t padding() const { return (kernel - 1) / 2; }
};

namespace cpu {

/// y[b, t, c] = bias[c] + sum_u weight[c, u] x[b, t + u - (k - 1) / 2, c], with 0 beyond both ends;
/// bias may be null. Overwrites y, which must not be x.
template <class T>
void depthwise_conv1d_forward(const DepthwiseShape& shape, const T* x, const Wide<T>* weight,
                              const Wide<T>* bias, T* y);

/// Overwrites gx, which must not be gy: the same convolution with the taps in reverse.
template <class T>
void depthwise_conv1d_backward(const DepthwiseShape& shape, const T* gy, const Wide<T>* weight,
                               T* gx);

/// Overwrites gweight [B, C, k] and gbias [B, C], the sums over each example's frames of
/// x[b, t + u - (k - 1) / 2, c] gy[b, t, c] and of gy[b, t, c], from which the gradient of any
/// group of examples follows. They are k / T of the size of x.
template <class T>
void depthwise_conv1d_sums(const DepthwiseShape& shape, const T* x, const T* gy, Wide<T>* gweight,
                           Wide<T>* gbias);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void depthwise_conv1d_forward(const DepthwiseShape& shape, const T* x, const Wide<T>* weight,
                              const Wide<T>* bias, T* y);
template <class T>
void depthwise_conv1d_backward(const DepthwiseShape& shape, const T* gy, const Wide<T>* weight,
                               T* gx);
template <class T>
void depthwise_conv1d_sums(const DepthwiseShape& shape, const T* x, const T* gy, Wide<T>* gweight,
                           Wide<T>* gbias);

}  // namespace cuda
}  // namespace minnow
