#include "kernels/reduce.h"

#include <algorithm>

#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
double sum_of_squares(int64_t n, const T* x) {
  constexpr int64_t run =
      1024;  // short enough that the float sum of a run rounds by no more than a few eps
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += run) {
    const int64_t end = std::min(begin + run, n);
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += x[i] * x[i];
    total += static_cast<double>(sum);
  }
  return total;
}

template <class T>
void row_sumsq(int64_t rows, int64_t n, const T* x, double* sumsq) {
  parallel_for(rows, element_grain / (n + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) sumsq[r] = sum_of_squares(n, x + r * n);
  });
}

namespace {

/// Columns per unit of work: one strip of the result stays in the first-level cache while the rows
/// stream by.
constexpr int64_t strip = 1024;

int64_t strips(int64_t width) {
  return (width + strip - 1) / strip;
}

template <class T>
void add_rows(int64_t begin, int64_t end, int64_t stride, int64_t n, const T* x, T weight, T* sum) {
  for (int64_t r = begin; r < end; ++r) {
    const T* row = x + r * stride;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) sum[i] += weight * row[i];
  }
}

}  // namespace

template <class T>
void segment_sums(const Segments& segments, int64_t width, const T* x, Wide<T> beta, Wide<T>* sums,
                  double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const int64_t per_group = strips(width);
  const int64_t work = groups == 0 ? 0 : (bounds[groups] - bounds[0]) * width;
  const int64_t grain = work < element_grain ? groups * per_group : 1;
  parallel_for(groups * per_group, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j = i / per_group, first = i % per_group * strip;
      const int64_t n = std::min(strip, width - first);
      T* mine = sums + j * width + first;
      for (int64_t k = 0; k < n; ++k) mine[k] = beta == T(0) ? T(0) : beta * mine[k];
      add_rows(bounds[j], bounds[j + 1], width, n, x + first, T(1), mine);
    }
  });
  if (sumsq == nullptr) return;
  row_sumsq(groups, width, sums, sumsq);
}

template <class T>
void weighted_row_sum(const Segments& segments, int64_t width, const T* x, const double* c,
                      Wide<T> beta, Wide<T>* sum) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const int64_t work = groups == 0 ? 0 : (bounds[groups] - bounds[0]) * width;
  // Narrower strips than above where there is one result only, so that every core has some.
  const int64_t columns = std::min(strip, std::max<int64_t>(16, width / omp_get_max_threads()));
  const int64_t count = (width + columns - 1) / columns;
  parallel_for(count, work < element_grain ? count : 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * columns, n = std::min(columns, width - first);
      T* mine = sum + first;
      for (int64_t k = 0; k < n; ++k) mine[k] = beta == T(0) ? T(0) : beta * mine[k];
      for (int64_t j = 0; j < groups; ++j) {
        const T weight = c == nullptr ? T(1) : static_cast<T>(c[j]);
        if (weight != T(0)) {
          add_rows(bounds[j], bounds[j + 1], width, n, x + first, weight, mine);
        }
      }
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                        \
  template double sum_of_squares<T>(int64_t, const T*);                              \
  template void row_sumsq<T>(int64_t, int64_t, const T*, double*);                   \
  template void segment_sums<T>(const Segments&, int64_t, const T*, T, T*, double*); \
  template void weighted_row_sum<T>(const Segments&, int64_t, const T*, const double*, T, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
