#include "kernels/bias_gelu.h"

#include "kernels/elementwise.h"
#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void bias_gelu_forward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  if (width == 0) return;
  parallel_for(rows, element_grain / width + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* xr = x + r * width;
      T* yr = y + r * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) yr[i] = Gelu::value(xr[i] + b[i]);
    }
  });
}

template <class T>
void bias_gelu_backward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, const T* gy,
                        T* gx) {
  if (width == 0) return;
  parallel_for(rows, element_grain / width + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T *xr = x + r * width, *gyr = gy + r * width;
      T* gxr = gx + r * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) gxr[i] = gyr[i] * Gelu::slope(xr[i] + b[i]);
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                   \
  template void bias_gelu_forward<T>(int64_t, int64_t, const T*, const T*, T*); \
  template void bias_gelu_backward<T>(int64_t, int64_t, const T*, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
