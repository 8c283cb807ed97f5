#include "kernels/softmax.h"

#include <cmath>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// f(begin of the row) for every row, over all cores.
template <class F>
void each_row(int64_t rows, int64_t width, F f) {
  parallel_for(rows, element_grain / (width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r * width);
  });
}

}  // namespace

template <class T>
void softmax_forward(int64_t rows, int64_t width, const T* x, T* y) {
  each_row(rows, width, [=](int64_t at) {
    T* yr = y + at;
    const T scale = T(1) / exp_row(width, x + at, row_max(width, x + at), yr);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) yr[i] *= scale;
  });
}

template <class T>
void softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx) {
  each_row(rows, width, [=](int64_t at) {
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < width; ++i) dot += gy[at + i] * y[at + i];
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) gx[at + i] = y[at + i] * (gy[at + i] - dot);
  });
}

template <class T>
void log_softmax_forward(int64_t rows, int64_t width, const T* x, T* y) {
  each_row(rows, width, [=](int64_t at) {
    const T most = row_max(width, x + at);
    const T log_sum = std::log(exp_row(width, x + at, most, y + at));  // y is scratch memory here
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) y[at + i] = (x[at + i] - most) - log_sum;
  });
}

template <class T>
void log_softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx) {
  each_row(rows, width, [=](int64_t at) {
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < width; ++i) sum += gy[at + i];
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) gx[at + i] = gy[at + i] - fast_exp(y[at + i]) * sum;
  });
}

#define MINNOW_INSTANTIATE(T)                                                  \
  template void softmax_forward<T>(int64_t, int64_t, const T*, T*);            \
  template void softmax_backward<T>(int64_t, int64_t, const T*, const T*, T*); \
  template void log_softmax_forward<T>(int64_t, int64_t, const T*, T*);        \
  template void log_softmax_backward<T>(int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
