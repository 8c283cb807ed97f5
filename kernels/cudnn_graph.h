#pragma once

#include <cstdint>

#include "kernels/conv2d.h"

/// The three products of a convolution by cuDNN, for float and bfloat16 (sums in float; float only
/// rounds its operands to TF32 where tf32_allowed()). Each returns false, and has done nothing, for
/// sizes and types that cuDNN has no plan for: the caller then has its own way. Two runs give the
/// same bits. Arrays as in conv2d.h, in device memory.
namespace minnow::cuda {

#ifdef MINNOW_CUDA_HOST  // a processor has no cuDNN

template <class T>
bool cudnn_forward(const ConvShape&, const T*, const T*, T*) {
  return false;
}
template <class T>
bool cudnn_backward(const ConvShape&, const T*, const T*, T*) {
  return false;
}
template <class T>
bool cudnn_weight_sum(const ConvShape&, const T*, const T*, Wide<T>*) {
  return false;
}
inline int64_t conv_plans_missing() {
  return 0;
}

#else

/// y = x * w, without a bias. Overwrites y.
template <class T>
bool cudnn_forward(const ConvShape& shape, const T* x, const T* w, T* y);
/// Overwrites gx.
template <class T>
bool cudnn_backward(const ConvShape& shape, const T* gy, const T* w, T* gx);
/// sum [F, C / groups, kh, kw] = the weight gradient, summed over all examples; only float has a
/// plan. Overwrites sum.
template <class T>
bool cudnn_weight_sum(const ConvShape& shape, const T* x, const T* gy, Wide<T>* sum);

/// How many convolutions cuDNN was asked for and had no plan for; repeated ones count once.
int64_t conv_plans_missing();

#endif

}  // namespace minnow::cuda
