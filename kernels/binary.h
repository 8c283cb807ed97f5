#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow::cpu {

/// y = a + b. Overwrites y, which may be a or b.
template <class T>
void add(int64_t n, const T* a, const T* b, T* y);

/// y = a * b, element by element. Overwrites y, which may be a or b.
template <class T>
void multiply(int64_t n, const T* a, const T* b, T* y);

/// y = alpha x. Overwrites y, which may be x.
template <class T>
void scale(int64_t n, Wide<T> alpha, const T* x, T* y);

/// y += alpha x. Accumulates.
template <class T>
void add_scaled(int64_t n, Wide<T> alpha, const T* x, T* y);

/// y = alpha x for a number in the memory of the device; x is not read where alpha is 0, and
/// nothing is done where it is 1 and y is x. Overwrites y, which may be x.
template <class T>
void scale_by(int64_t n, const double* alpha, const T* x, T* y);

/// y += alpha x for a number in the memory of the device; x is not read where alpha is 0.
/// Accumulates.
template <class T>
void add_scaled_by(int64_t n, const double* alpha, const T* x, T* y);

/// y[r, :] = x[r, :] + b for each of `rows` rows of `width`: a bias, or a position embedding with
/// width = T * D. Overwrites y, which may be x.
template <class T>
void add_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y);

/// y[r, :] = x[r, :] * b, likewise: a layer scale.
template <class T>
void multiply_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void add(int64_t n, const T* a, const T* b, T* y);
template <class T>
void multiply(int64_t n, const T* a, const T* b, T* y);
template <class T>
void scale(int64_t n, Wide<T> alpha, const T* x, T* y);
template <class T>
void add_scaled(int64_t n, Wide<T> alpha, const T* x, T* y);
template <class T>
void scale_by(int64_t n, const double* alpha, const T* x, T* y);
template <class T>
void add_scaled_by(int64_t n, const double* alpha, const T* x, T* y);
template <class T>
void add_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y);
template <class T>
void multiply_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y);

}  // namespace minnow::cuda
