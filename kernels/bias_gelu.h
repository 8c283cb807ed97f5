#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow::cpu {

/// y = gelu(x + b) for each of `rows` rows of `width`, with the exact GELU of elementwise.h: what a
/// dense layer's product becomes in an MLP, in one pass. Overwrites y, which may be x. Backward
/// reads x.
template <class T>
void bias_gelu_forward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y);

/// gx = gy gelu'(x + b), which is also the gradient of every row's bias. Overwrites gx, which may
/// be gy.
template <class T>
void bias_gelu_backward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, const T* gy,
                        T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void bias_gelu_forward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y);
template <class T>
void bias_gelu_backward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, const T* gy,
                        T* gx);

}  // namespace minnow::cuda
