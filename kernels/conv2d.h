#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow {

/// Sizes of a convolution of x [B, C, H, W] with w [F, C / groups, kh, kw] into y [B, F, H', W'].
struct ConvShape {
  int64_t batch = 0, channels = 0, height = 0, width = 0;
  int64_t filters = 0, kernel_h = 1, kernel_w = 1;
  int64_t stride = 1, padding = 0, dilation = 1, groups = 1;

  int64_t out_h() const { return extent(height, kernel_h); }
  int64_t out_w() const { return extent(width, kernel_w); }
  int64_t out_area() const { return out_h() * out_w(); }
  /// Elements of x that one output of one filter reads; the length of a filter.
  int64_t taps() const { return channels / groups * kernel_h * kernel_w; }
  int64_t group_filters() const { return filters / groups; }
  /// A product with x as it lies in memory.
  bool pointwise() const { return kernel_h == 1 && kernel_w == 1 && stride == 1 && padding == 0; }
  bool depthwise() const { return groups == channels; }

 private:
  int64_t extent(int64_t size, int64_t kernel) const {
    return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
  }
};

namespace cpu {

/// y[b, f, i, j] = bias[f] + sum over c, u, v of
///   w[f, c, u, v] x[b, first channel of f's group + c, i stride + u dilation - padding, j stride +
///   v dilation - padding],
/// with 0 outside of x. bias may be null. Overwrites y.
template <class T>
void conv2d_forward(const ConvShape& shape, const T* x, const T* w, const Wide<T>* bias, T* y);

/// The transposed map of gy: overwrites gx [B, C, H, W].
template <class T>
void conv2d_backward(const ConvShape& shape, const T* gy, const T* w, T* gx);

/// The sum over each example's outputs of a filter: overwrites gbias [B, F].
template <class T>
void conv2d_bias_sums(const ConvShape& shape, const T* gy, Wide<T>* gbias);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void conv2d_forward(const ConvShape& shape, const T* x, const T* w, const Wide<T>* bias, T* y);
template <class T>
void conv2d_backward(const ConvShape& shape, const T* gy, const T* w, T* gx);
template <class T>
void conv2d_bias_sums(const ConvShape& shape, const T* gy, Wide<T>* gbias);

}  // namespace cuda
}  // namespace minnow
