#include "kernels/sequencenorm.h"

#include <algorithm>
#include <cmath>

#include "kernels/launch.h"
#include "kernels/lengths.h"

namespace minnow::cpu {
namespace {

/// Calls f(example, its first element, its live frames) for every example, over all cores.
template <class F>
void for_examples(const SequenceShape& s, const int64_t* lengths, F f) {
  const int64_t size = s.frames * s.channels;
  parallel_for(s.batch, element_grain / (size + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      f(b, b * size, live_tokens(lengths, b, s.frames));
    }
  });
}

}  // namespace

template <class T>
void sequencenorm_forward(const SequenceShape& s, const int64_t* lengths, Wide<T> eps, const T* x,
                          const Wide<T>* weight, const Wide<T>* bias, T* y, Wide<T>* mean,
                          Wide<T>* rstd) {
  for_examples(s, lengths, [=](int64_t b, int64_t at, int64_t live) {
    const int64_t size = live * s.channels;
    const T* xb = x + at;
    T sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) sum += xb[i];
    const T m = size == 0 ? T(0) : sum / static_cast<T>(size);
    // A second pass spares the cancellation of E[x^2] - E[x]^2.
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < size; ++i) squares += (xb[i] - m) * (xb[i] - m);
    const T r = size == 0 ? T(0) : T(1) / std::sqrt(squares / static_cast<T>(size) + eps);
    mean[b] = m;
    rstd[b] = r;
    for (int64_t t = 0; t < live; ++t) {
      const T* xt = xb + t * s.channels;
      T* yt = y + at + t * s.channels;
#pragma omp simd
      for (int64_t c = 0; c < s.channels; ++c) yt[c] = (xt[c] - m) * r * weight[c] + bias[c];
    }
    std::fill_n(y + at + size, (s.frames - live) * s.channels, T(0));
  });
}

template <class T>
void sequencenorm_backward(const SequenceShape& s, const int64_t* lengths, const T* x,
                           const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                           const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias) {
  // With h = gy weight and n = (x - mean) rstd: gx = rstd (h - mean(h) - n mean(h n)).
  for_examples(s, lengths, [=](int64_t b, int64_t at, int64_t live) {
    T *gw = gweight + b * s.channels, *gb = gbias + b * s.channels;
    const T m = mean[b], r = rstd[b];
    std::fill_n(gw, s.channels, T(0));
    std::fill_n(gb, s.channels, T(0));
    for (int64_t t = 0; t < live; ++t) {
      const T *xt = x + at + t * s.channels, *g = gy + at + t * s.channels;
#pragma omp simd
      for (int64_t c = 0; c < s.channels; ++c) {
        gb[c] += g[c];
        gw[c] += g[c] * ((xt[c] - m) * r);
      }
    }
    const int64_t size = live * s.channels;
    T sum_h = 0, sum_hn = 0;
    for (int64_t c = 0; c < s.channels; ++c) {
      sum_h += weight[c] * gb[c];
      sum_hn += weight[c] * gw[c];
    }
    const T mean_h = size == 0 ? T(0) : sum_h / static_cast<T>(size);
    const T mean_hn = size == 0 ? T(0) : sum_hn / static_cast<T>(size);
    for (int64_t t = 0; t < live; ++t) {
      const T *xt = x + at + t * s.channels, *g = gy + at + t * s.channels;
      T* out = gx + at + t * s.channels;
#pragma omp simd
      for (int64_t c = 0; c < s.channels; ++c) {
        out[c] = r * (g[c] * weight[c] - mean_h - (xt[c] - m) * r * mean_hn);
      }
    }
    std::fill_n(gx + at + size, (s.frames - live) * s.channels, T(0));
  });
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void sequencenorm_forward<T>(const SequenceShape&, const int64_t*, T, const T*,         \
                                        const T*, const T*, T*, T*, T*);                           \
  template void sequencenorm_backward<T>(const SequenceShape&, const int64_t*, const T*, const T*, \
                                         const T*, const T*, const T*, T*, T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
