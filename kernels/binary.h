#pragma once

#include <cstdint>

namespace minnow::cpu {

/// y = a + b. Overwrites y, which may be a or b.
template <class T>
void add(int64_t n, const T* a, const T* b, T* y);

/// y = a * b, element by element. Overwrites y, which may be a or b.
template <class T>
void multiply(int64_t n, const T* a, const T* b, T* y);

/// y = alpha x. Overwrites y, which may be x.
template <class T>
void scale(int64_t n, T alpha, const T* x, T* y);

/// y += alpha x. Accumulates.
template <class T>
void add_scaled(int64_t n, T alpha, const T* x, T* y);

/// y[r, :] = x[r, :] + b for each of `rows` rows of `width`: a bias, or a position embedding with
/// width = T * D. Overwrites y, which may be x.
template <class T>
void add_broadcast(int64_t rows, int64_t width, const T* x, const T* b, T* y);

}  // namespace minnow::cpu
