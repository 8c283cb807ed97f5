#include "kernels/layernorm.h"

#include <algorithm>
#include <cmath>

#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void layernorm_forward(int64_t rows, int64_t width, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd) {
  parallel_for(rows, element_grain / (width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* xr = x + r * width;
      T* yr = y + r * width;
      T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < width; ++i) sum += xr[i];
      const T m = sum / static_cast<T>(width);
      // The second pass is over a row in the cache and spares the cancellation of E[x^2] - E[x]^2.
#pragma omp simd reduction(+ : squares)
      for (int64_t i = 0; i < width; ++i) squares += (xr[i] - m) * (xr[i] - m);
      const T s = T(1) / std::sqrt(squares / static_cast<T>(width) + eps);
      mean[r] = m;
      rstd[r] = s;
      if (weight != nullptr && bias != nullptr) {
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) yr[i] = (xr[i] - m) * s * weight[i] + bias[i];
        continue;
      }
      for (int64_t i = 0; i < width; ++i) {
        const T normal = (xr[i] - m) * s * (weight != nullptr ? weight[i] : T(1));
        yr[i] = normal + (bias != nullptr ? bias[i] : T(0));
      }
    }
  });
}

namespace {

/// One row of the backward pass, with h = gy * weight and n = (x - mean) rstd:
/// gx = rstd (h - mean(h) - n mean(h n)); adds gy n to gweight and gy to gbias.
template <class T, bool scaled, bool summed>
void backward_row(int64_t width, const T* x, const T* weight, T m, T s, const T* gy, T* gx,
                  T* gweight, T* gbias) {
  T sum_h = 0, sum_hn = 0;
#pragma omp simd reduction(+ : sum_h, sum_hn)
  for (int64_t i = 0; i < width; ++i) {
    const T h = scaled ? gy[i] * weight[i] : gy[i];
    const T n = (x[i] - m) * s;
    sum_h += h;
    sum_hn += h * n;
    if constexpr (summed) {
      gweight[i] += gy[i] * n;
      gbias[i] += gy[i];
    }
  }
  const T mean_h = sum_h / static_cast<T>(width), mean_hn = sum_hn / static_cast<T>(width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const T h = scaled ? gy[i] * weight[i] : gy[i];
    const T n = (x[i] - m) * s;
    gx[i] = s * (h - mean_h - n * mean_hn);
  }
}

}  // namespace

template <class T>
void layernorm_backward(int64_t examples, int64_t rows, int64_t width, const T* x,
                        const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                        const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias) {
  if (examples == 0) return;
  const int64_t each = rows / examples;
  const bool summed = gweight != nullptr && gbias != nullptr;
  const auto row = weight != nullptr
                       ? (summed ? backward_row<T, true, true> : backward_row<T, true, false>)
                       : (summed ? backward_row<T, false, true> : backward_row<T, false, false>);
  parallel_for(examples, element_grain / (each * width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      T* gw = summed ? gweight + e * width : nullptr;
      T* gb = summed ? gbias + e * width : nullptr;
      if (summed) {
        std::fill_n(gw, width, T(0));
        std::fill_n(gb, width, T(0));
      }
      for (int64_t r = e * each; r < (e + 1) * each; ++r) {
        const int64_t at = r * width;
        row(width, x + at, weight, mean[r], rstd[r], gy + at, gx + at, gw, gb);
      }
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                                   \
  template void layernorm_forward<T>(int64_t, int64_t, T, const T*, const T*, const T*, T*, T*, \
                                     T*);                                                       \
  template void layernorm_backward<T>(int64_t, int64_t, int64_t, const T*, const T*, const T*,  \
                                      const T*, const T*, T*, T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
