#include "kernels/binary.h"

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// y[i] = f(i) over all cores, as vector code.
template <class T, class F>
void map(int64_t n, T* y, F f) {
  parallel_for(n, element_grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = f(i);
  });
}

/// y[r, i] = f(x[r, i], b[i]), likewise.
template <class T, class F>
void map_rows(int64_t rows, int64_t width, const T* x, const T* b, T* y, F f) {
  if (width == 0) return;
  parallel_for(rows, element_grain / width + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* xr = x + r * width;
      T* yr = y + r * width;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) yr[i] = f(xr[i], b[i]);
    }
  });
}

}  // namespace

template <class T>
void add(int64_t n, const T* a, const T* b, T* y) {
  map(n, y, [=](int64_t i) { return a[i] + b[i]; });
}

template <class T>
void multiply(int64_t n, const T* a, const T* b, T* y) {
  map(n, y, [=](int64_t i) { return a[i] * b[i]; });
}

template <class T>
void scale(int64_t n, Wide<T> alpha, const T* x, T* y) {
  map(n, y, [=](int64_t i) { return alpha * x[i]; });
}

template <class T>
void add_scaled(int64_t n, Wide<T> alpha, const T* x, T* y) {
  map(n, y, [=](int64_t i) { return y[i] + alpha * x[i]; });
}

template <class T>
void scale_by(int64_t n, const double* alpha, const T* x, T* y) {
  if (*alpha == 0) {
    map(n, y, [](int64_t) { return T(0); });
  } else if (*alpha != 1 || x != y) {
    scale(n, static_cast<T>(*alpha), x, y);
  }
}

template <class T>
void add_scaled_by(int64_t n, const double* alpha, const T* x, T* y) {
  if (*alpha != 0) add_scaled(n, static_cast<T>(*alpha), x, y);
}

template <class T>
void add_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  map_rows(rows, width, x, b, y, [](T v, T w) { return v + w; });
}

template <class T>
void multiply_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  map_rows(rows, width, x, b, y, [](T v, T w) { return v * w; });
}

#define MINNOW_INSTANTIATE(T)                                               \
  template void add<T>(int64_t, const T*, const T*, T*);                    \
  template void multiply<T>(int64_t, const T*, const T*, T*);               \
  template void scale<T>(int64_t, T, const T*, T*);                         \
  template void add_scaled<T>(int64_t, T, const T*, T*);                    \
  template void scale_by<T>(int64_t, const double*, const T*, T*);          \
  template void add_scaled_by<T>(int64_t, const double*, const T*, T*);     \
  template void add_broadcast<T>(int64_t, int64_t, const T*, const T*, T*); \
  template void multiply_broadcast<T>(int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
