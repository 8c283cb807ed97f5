#pragma once

#include <cstdint>

namespace minnow::cpu {

/// y[r, i] = x[r, i] sigmoid(x[r, width + i]) for each of `rows` rows; x [rows, 2 width], y [rows,
/// width]. Overwrites y, which must not be x. Backward reads x. Source: Dauphin et al., "Language
/// modeling with gated convolutional networks", ICML 2017.
template <class T>
void glu_forward(int64_t rows, int64_t width, const T* x, T* y);

/// Overwrites gx [rows, 2 width] from gy [rows, width].
template <class T>
void glu_backward(int64_t rows, int64_t width, const T* x, const T* gy, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void glu_forward(int64_t rows, int64_t width, const T* x, T* y);
template <class T>
void glu_backward(int64_t rows, int64_t width, const T* x, const T* gy, T* gx);

}  // namespace minnow::cuda
