#pragma once

#include <cstdint>

namespace minnow {

/// Square windows over each of `planes` = B C images of H x W.
struct PoolShape {
  int64_t planes = 0, height = 0, width = 0;
  int64_t kernel = 2, stride = 2, padding = 0;

  int64_t out_h() const { return (height + 2 * padding - kernel) / stride + 1; }
  int64_t out_w() const { return (width + 2 * padding - kernel) / stride + 1; }
};

namespace cpu {

/// y = the largest element of each window, the first one among equals; a NaN wins. Every window
/// must hold an element that is not padding. Overwrites y; saves the element's place in its plane.
template <class T>
void max_pool_forward(const PoolShape& shape, const T* x, T* y, int64_t* place);

/// gx[place] += gy over a gx that is overwritten.
template <class T>
void max_pool_backward(const PoolShape& shape, const int64_t* place, const T* gy, T* gx);

/// y = the sum of each window, where padding is 0, over kernel^2. Overwrites y.
template <class T>
void avg_pool_forward(const PoolShape& shape, const T* x, T* y);

/// Overwrites gx.
template <class T>
void avg_pool_backward(const PoolShape& shape, const T* gy, T* gx);

/// y[p] = the mean of plane p's `area` elements. Overwrites y.
template <class T>
void global_avg_pool_forward(int64_t planes, int64_t area, const T* x, T* y);

/// gx = gy[p] / area for every element of plane p. Overwrites gx.
template <class T>
void global_avg_pool_backward(int64_t planes, int64_t area, const T* gy, T* gx);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void max_pool_forward(const PoolShape& shape, const T* x, T* y, int64_t* place);
template <class T>
void max_pool_backward(const PoolShape& shape, const int64_t* place, const T* gy, T* gx);
template <class T>
void avg_pool_forward(const PoolShape& shape, const T* x, T* y);
template <class T>
void avg_pool_backward(const PoolShape& shape, const T* gy, T* gx);
template <class T>
void global_avg_pool_forward(int64_t planes, int64_t area, const T* x, T* y);
template <class T>
void global_avg_pool_backward(int64_t planes, int64_t area, const T* gy, T* gx);

}  // namespace cuda
}  // namespace minnow
