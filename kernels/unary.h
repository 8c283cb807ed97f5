#pragma once

#include <cstdint>

#include "kernels/elementwise.h"

namespace minnow::cpu {

/// y[i] = F::value(x[i]). Overwrites y; y may be x.
template <class F, class T>
void unary_forward(int64_t n, const T* x, T* y);

/// gx[i] = gy[i] F::slope(x[i]). Overwrites gx; gx may be gy.
template <class F, class T>
void unary_backward(int64_t n, const T* x, const T* gy, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class F, class T>
void unary_forward(int64_t n, const T* x, T* y);
template <class F, class T>
void unary_backward(int64_t n, const T* x, const T* gy, T* gx);

}  // namespace minnow::cuda
