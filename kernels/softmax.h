#pragma once

#include <cstdint>
#include <limits>

#include "kernels/elementwise.h"

namespace minnow::cpu {

/// The largest of n numbers, passing over NaN; -infinity where there is no other.
template <class T>
inline T row_max(int64_t n, const T* x) {
  T most = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

/// y[i] = e^(x[i] - shift); returns their sum. With shift the largest of x the sum is at least 1
/// and nothing overflows; a NaN in x makes the sum a NaN. y may be x.
template <class T>
inline T exp_row(int64_t n, const T* x, T shift, T* y) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    y[i] = fast_exp(x[i] - shift);
    sum += y[i];
  }
  return sum;
}

/// y = e^x / sum e^x over each of `rows` rows of `width`. Elements of -infinity give 0 as long as
/// one of their row is finite; a row with a NaN is NaN. Overwrites y, which may be x. Backward
/// reads y.
template <class T>
void softmax_forward(int64_t rows, int64_t width, const T* x, T* y);

/// gx = y (gy - sum gy y). Overwrites gx, which may be gy.
template <class T>
void softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx);

/// y = x - log sum e^x; elements of -infinity stay so. Overwrites y, which must not be x. Backward
/// reads y.
template <class T>
void log_softmax_forward(int64_t rows, int64_t width, const T* x, T* y);

/// gx = gy - e^y sum gy. Overwrites gx, which may be gy.
template <class T>
void log_softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void softmax_forward(int64_t rows, int64_t width, const T* x, T* y);
template <class T>
void softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx);
template <class T>
void log_softmax_forward(int64_t rows, int64_t width, const T* x, T* y);
template <class T>
void log_softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx);

}  // namespace minnow::cuda
