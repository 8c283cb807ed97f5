#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow::cpu {

/// y[R, out] = x[R, in] w[out, in]^T + bias[out]; bias may be null. Overwrites y.
template <class T>
void linear_forward(int64_t rows, int64_t in, int64_t out, const T* x, const T* w,
                    const Wide<T>* bias, T* y);

/// gx[R, in] = gy[R, out] w[out, in]. Overwrites gx. The gradients of w and bias are the forms
/// OuterProduct and RowSum.
template <class T>
void linear_backward(int64_t rows, int64_t in, int64_t out, const T* gy, const T* w, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void linear_forward(int64_t rows, int64_t in, int64_t out, const T* x, const T* w,
                    const Wide<T>* bias, T* y);
template <class T>
void linear_backward(int64_t rows, int64_t in, int64_t out, const T* gy, const T* w, T* gx);

}  // namespace minnow::cuda
