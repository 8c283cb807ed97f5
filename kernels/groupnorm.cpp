#include "kernels/groupnorm.h"

#include <cmath>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Calls f(i) for every group i = example * groups + group, over all cores.
template <class F>
void for_each_group(const GroupNormShape& s, int64_t size, F f) {
  parallel_for(s.batch * s.groups, element_grain / (size + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

}  // namespace

template <class T>
void groupnorm_forward(const GroupNormShape& shape, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd) {
  const int64_t channels = shape.channels / shape.groups, inner = shape.inner;
  const int64_t size = channels * inner;
  for_each_group(shape, size, [=, groups = shape.groups](int64_t i) {
    const T* xg = x + i * size;
    T* yg = y + i * size;
    T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < size; ++k) sum += xg[k];
    const T m = sum / static_cast<T>(size);
    // A second pass spares the cancellation of E[x^2] - E[x]^2.
#pragma omp simd reduction(+ : squares)
    for (int64_t k = 0; k < size; ++k) squares += (xg[k] - m) * (xg[k] - m);
    const T s = T(1) / std::sqrt(squares / static_cast<T>(size) + eps);
    mean[i] = m;
    rstd[i] = s;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t channel = i % groups * channels + c;
      const T factor = weight == nullptr ? s : s * weight[channel];
      const T offset = bias == nullptr ? T(0) : bias[channel];
      const T* xc = xg + c * inner;
      T* yc = yg + c * inner;
#pragma omp simd
      for (int64_t k = 0; k < inner; ++k) yc[k] = (xc[k] - m) * factor + offset;
    }
  });
}

template <class T>
void groupnorm_backward(const GroupNormShape& shape, const T* x, const Wide<T>* weight,
                        const Wide<T>* mean, const Wide<T>* rstd, const T* gy, T* gx,
                        Wide<T>* gweight, Wide<T>* gbias) {
  const int64_t channels = shape.channels / shape.groups, inner = shape.inner;
  const int64_t size = channels * inner;
  // With h = gy weight and n = (x - mean) rstd: gx = rstd (h - mean(h) - n mean(h n)).
  for_each_group(shape, size, [=, groups = shape.groups](int64_t i) {
    const T *xg = x + i * size, *gyg = gy + i * size;
    T *gxg = gx + i * size, *gw = gweight + i * channels, *gb = gbias + i * channels;
    const T* w = weight == nullptr ? nullptr : weight + i % groups * channels;
    const T m = mean[i], s = rstd[i];
    T sum_h = 0, sum_hn = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const T *xc = xg + c * inner, *gyc = gyg + c * inner;
      T sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
      for (int64_t k = 0; k < inner; ++k) {
        sum += gyc[k];
        product += gyc[k] * ((xc[k] - m) * s);
      }
      gb[c] = sum;
      gw[c] = product;
      sum_h += w == nullptr ? sum : w[c] * sum;
      sum_hn += w == nullptr ? product : w[c] * product;
    }
    const T mean_h = sum_h / static_cast<T>(size), mean_hn = sum_hn / static_cast<T>(size);
    for (int64_t c = 0; c < channels; ++c) {
      const T *xc = xg + c * inner, *gyc = gyg + c * inner;
      T* gxc = gxg + c * inner;
      const T wc = w == nullptr ? T(1) : w[c];
#pragma omp simd
      for (int64_t k = 0; k < inner; ++k) {
        gxc[k] = s * (gyc[k] * wc - mean_h - (xc[k] - m) * s * mean_hn);
      }
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void groupnorm_forward<T>(const GroupNormShape&, T, const T*, const T*, const T*, T*, \
                                     T*, T*);                                                    \
  template void groupnorm_backward<T>(const GroupNormShape&, const T*, const T*, const T*,       \
                                      const T*, const T*, T*, T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
