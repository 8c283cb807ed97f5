#include "kernels/pool2d.h"

#include <algorithm>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Calls f(plane) for every plane, over all cores.
template <class F>
void for_each_plane(int64_t planes, int64_t area, F f) {
  parallel_for(planes, element_grain / (area + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) f(p);
  });
}

/// The elements [begin, end) of an axis that window i covers, without the padding.
struct Window {
  Window(const PoolShape& s, int64_t i, int64_t size)
      : begin(std::max<int64_t>(i * s.stride - s.padding, 0)),
        end(std::min(i * s.stride - s.padding + s.kernel, size)) {}
  int64_t begin, end;
};

/// Calls f(output, rows, columns) for every window of a plane.
template <class F>
void for_each_window(const PoolShape& s, F f) {
  const int64_t out_h = s.out_h(), out_w = s.out_w();
  for (int64_t i = 0; i < out_h; ++i) {
    const Window rows(s, i, s.height);
    for (int64_t j = 0; j < out_w; ++j) f(i * out_w + j, rows, Window(s, j, s.width));
  }
}

}  // namespace

template <class T>
void max_pool_forward(const PoolShape& s, const T* x, T* y, int64_t* place) {
  const int64_t area = s.height * s.width, out = s.out_h() * s.out_w();
  for_each_plane(s.planes, area, [=](int64_t p) {
    const T* plane = x + p * area;
    for_each_window(s, [=, width = s.width](int64_t at, Window rows, Window columns) {
      int64_t best = rows.begin * width + columns.begin;
      T most = plane[best];
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        for (int64_t j = columns.begin; j < columns.end; ++j) {
          const T value = plane[i * width + j];
          const bool wins = value > most || value != value;
          best = wins ? i * width + j : best;
          most = wins ? value : most;
        }
      }
      y[p * out + at] = most;
      place[p * out + at] = best;
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
  for_each_plane(s.planes, area, [=](int64_t p) {
    for_each_window(s, [=, width = s.width](int64_t at, Window rows, Window columns) {
      T sum = 0;
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        for (int64_t j = columns.begin; j < columns.end; ++j) sum += x[p * area + i * width + j];
      }
      y[p * out + at] = sum * share;
    });
  });
}

template <class T>
void avg_pool_backward(const PoolShape& s, const T* gy, T* gx) {
  const int64_t area = s.height * s.width, out = s.out_h() * s.out_w();
  const T share = T(1) / static_cast<T>(s.kernel * s.kernel);
  for_each_plane(s.planes, area, [=](int64_t p) {
    std::fill_n(gx + p * area, area, T(0));
    for_each_window(s, [=, width = s.width](int64_t at, Window rows, Window columns) {
      const T g = gy[p * out + at] * share;
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        for (int64_t j = columns.begin; j < columns.end; ++j) gx[p * area + i * width + j] += g;
      }
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
