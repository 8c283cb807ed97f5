#include "kernels/tokens.h"

#include <algorithm>

#include "kernels/launch.h"
#include "kernels/lengths.h"

namespace minnow::cpu {

template <class T>
void copy_blocks(int64_t count, int64_t n, const T* x, int64_t x_stride, T* y, int64_t y_stride) {
  parallel_for(count, element_grain / (n + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::copy_n(x + i * x_stride, n, y + i * y_stride);
  });
}

template <class T>
void mean_tokens_forward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                         const int64_t* lengths, const T* x, T* y) {
  const int64_t grain = element_grain / (tokens * width + 1) + 1;
  parallel_for(examples, grain, [=](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      const int64_t last = live_tokens(lengths, e, tokens);
      const T scale = last > first ? T(1) / static_cast<T>(last - first) : T(0);
      T* ye = y + e * width;
      std::fill_n(ye, width, T(0));
      for (int64_t t = first; t < last; ++t) {
        const T* row = x + (e * tokens + t) * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) ye[i] += row[i];
      }
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) ye[i] *= scale;
    }
  });
}

template <class T>
void mean_tokens_backward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                          const int64_t* lengths, const T* gy, T* gx) {
  const int64_t grain = element_grain / (tokens * width + 1) + 1;
  parallel_for(examples, grain, [=](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      const int64_t last = std::max(first, live_tokens(lengths, e, tokens));
      const T scale = T(1) / static_cast<T>(last - first);
      T* rows = gx + e * tokens * width;
      std::fill_n(rows, first * width, T(0));
      for (int64_t t = first; t < last; ++t) {
        T* row = rows + t * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) row[i] = gy[e * width + i] * scale;
      }
      std::fill_n(rows + last * width, (tokens - last) * width, T(0));
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                               \
  template void copy_blocks<T>(int64_t, int64_t, const T*, int64_t, T*, int64_t);           \
  template void mean_tokens_forward<T>(int64_t, int64_t, int64_t, int64_t, const int64_t*,  \
                                       const T*, T*);                                       \
  template void mean_tokens_backward<T>(int64_t, int64_t, int64_t, int64_t, const int64_t*, \
                                        const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
