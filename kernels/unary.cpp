#include "kernels/unary.h"

#include "kernels/launch.h"

namespace minnow::cpu {

template <class F, class T>
void unary_forward(int64_t n, const T* x, T* y) {
  parallel_for(n, element_grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = F::value(x[i]);
  });
}

template <class F, class T>
void unary_backward(int64_t n, const T* x, const T* gy, T* gx) {
  parallel_for(n, element_grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) gx[i] = gy[i] * F::slope(x[i]);
  });
}

#define MINNOW_INSTANTIATE(F)                                                          \
  template void unary_forward<F, float>(int64_t, const float*, float*);                \
  template void unary_forward<F, double>(int64_t, const double*, double*);             \
  template void unary_backward<F, float>(int64_t, const float*, const float*, float*); \
  template void unary_backward<F, double>(int64_t, const double*, const double*, double*);
MINNOW_UNARY_FUNCTIONS(MINNOW_INSTANTIATE)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
