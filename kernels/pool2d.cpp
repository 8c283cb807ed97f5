#include "kernels/pool2d.h"

#include <algorithm>
#include <cmath>

#include "kernels/launch.h"
#include "kernels/window.h"

namespace minnow::cpu {
namespace {

/// Calls f(plane) for every plane, over all cores.
template <class F>
void for_each_plane(int64_t planes, int64_t area, F f) {
  parallel_for(planes, element_grain / (area + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) f(p);
  });
}

/// Calls f(output row, row of x, offset, span) for every row and column of the windows of a plane:
/// outputs j in the span read the row's element offset + j stride, window by window in the order in
/// which they lie in memory.
template <class F>
void for_each_row(const PoolShape& s, F f) {
  const int64_t out_h = s.out_h(), out_w = s.out_w();
  for (int64_t i = 0; i < out_h; ++i) {
    const int64_t top = i * s.stride - s.padding;
    for (int64_t h = std::max<int64_t>(top, 0); h < std::min(top + s.kernel, s.height); ++h) {
      for (int64_t v = 0; v < s.kernel; ++v) {
        const int64_t offset = v - s.padding;
        f(i * out_w, h * s.width, offset, inside(out_w, s.width, s.stride, offset));
      }
    }
  }
}

/// Puts each window's first element into y.
template <class T>
void first_elements(const PoolShape& s, const T* x, T* y, int64_t* place) {
  for (int64_t i = 0; i < s.out_h(); ++i) {
    const int64_t row = std::max<int64_t>(i * s.stride - s.padding, 0) * s.width;
    for (int64_t j = 0; j < s.out_w(); ++j, ++y, ++place) {
      *place = row + std::max<int64_t>(j * s.stride - s.padding, 0);
      *y = x[*place];
    }
  }
}

}  // namespace

template <class T>
void max_pool_forward(const PoolShape& s, const T* x, T* y, int64_t* place) {
  const int64_t area = s.height * s.width, out = s.out_h() * s.out_w();
  for_each_plane(s.planes, area, [=, stride = s.stride](int64_t p) {
    const T* plane = x + p * area;
    first_elements(s, plane, y + p * out, place + p * out);
    for_each_row(s, [=](int64_t at, int64_t row, int64_t offset, Span span) {
      T* most = y + p * out + at;
      int64_t* best = place + p * out + at;
#pragma omp simd
      for (int64_t j = span.begin; j < span.end; ++j) {
        const int64_t from = row + offset + j * stride;
        const T value = plane[from];
        const bool wins = (value > most[j]) | std::isnan(value);
        most[j] = wins ? value : most[j];
        best[j] = wins ? from : best[j];
      }
    });
  });
}

template <class T>
void max_pool_backward(const PoolShape& s, const int64_t* place, const T* gy, T* gx) {
  const int64_t area = s.height * s.width, out = s.out_h() * s.out_w();
  for_each_plane(s.planes, area, [=](int64_t p) {
    std::fill_n(gx + p * area, area, T(0));
    for (int64_t i = p * out; i < (p + 1) * out; ++i) gx[p * area + place[i]] += gy[i];
  });
}

template <class T>
void avg_pool_forward(const PoolShape& s, const T* x, T* y) {
  const int64_t area = s.height * s.width, out = s.out_h() * s.out_w();
  const T share = T(1) / static_cast<T>(s.kernel * s.kernel);
  for_each_plane(s.planes, area, [=, stride = s.stride](int64_t p) {
    std::fill_n(y + p * out, out, T(0));
    for_each_row(s, [=](int64_t at, int64_t row, int64_t offset, Span span) {
      const T* from = x + p * area + row + offset;
      T* to = y + p * out + at;
#pragma omp simd
      for (int64_t j = span.begin; j < span.end; ++j) to[j] += share * from[j * stride];
    });
  });
}

template <class T>
void avg_pool_backward(const PoolShape& s, const T* gy, T* gx) {
  const int64_t area = s.height * s.width, out = s.out_h() * s.out_w();
  const T share = T(1) / static_cast<T>(s.kernel * s.kernel);
  for_each_plane(s.planes, area, [=, stride = s.stride](int64_t p) {
    std::fill_n(gx + p * area, area, T(0));
    for_each_row(s, [=](int64_t at, int64_t row, int64_t offset, Span span) {
      const T* from = gy + p * out + at;
      T* to = gx + p * area + row + offset;
#pragma omp simd
      for (int64_t j = span.begin; j < span.end; ++j) to[j * stride] += share * from[j];
    });
  });
}

template <class T>
void global_avg_pool_forward(int64_t planes, int64_t area, const T* x, T* y) {
  for_each_plane(planes, area, [=](int64_t p) {
    const T* plane = x + p * area;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < area; ++i) sum += plane[i];
    y[p] = sum / static_cast<T>(area);
  });
}

template <class T>
void global_avg_pool_backward(int64_t planes, int64_t area, const T* gy, T* gx) {
  for_each_plane(planes, area, [=](int64_t p) {
    std::fill_n(gx + p * area, area, gy[p] / static_cast<T>(area));
  });
}

#define MINNOW_INSTANTIATE(T)                                                         \
  template void max_pool_forward<T>(const PoolShape&, const T*, T*, int64_t*);        \
  template void max_pool_backward<T>(const PoolShape&, const int64_t*, const T*, T*); \
  template void avg_pool_forward<T>(const PoolShape&, const T*, T*);                  \
  template void avg_pool_backward<T>(const PoolShape&, const T*, T*);                 \
  template void global_avg_pool_forward<T>(int64_t, int64_t, const T*, T*);           \
  template void global_avg_pool_backward<T>(int64_t, int64_t, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
