#include "kernels/glu.h"

#include "kernels/elementwise.h"
#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void glu_forward(int64_t rows, int64_t width, const T* x, T* y) {
  parallel_for(rows, element_grain / (width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* value = x + 2 * r * width;
      const T* gate = value + width;
      T* yr = y + r * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) yr[i] = value[i] * sigmoid_of(gate[i]);
    }
  });
}

template <class T>
void glu_backward(int64_t rows, int64_t width, const T* x, const T* gy, T* gx) {
  parallel_for(rows, element_grain / (width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* value = x + 2 * r * width;
      const T* gate = value + width;
      const T* g = gy + r * width;
      T* g_value = gx + 2 * r * width;
      T* g_gate = g_value + width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const T s = sigmoid_of(gate[i]);
        g_value[i] = g[i] * s;
        g_gate[i] = g[i] * value[i] * s * (T(1) - s);
      }
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                   \
  template void glu_forward<T>(int64_t, int64_t, const T*, T*); \
  template void glu_backward<T>(int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
