#include "kernels/scatter.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/launch.h"
#include "kernels/reduce.h"

namespace minnow::cpu {
namespace {

/// Columns per unit of work. Splitting a table by columns lets threads share it and leaves the
/// order of every sum alone.
constexpr int64_t strip = 64;

int64_t strips(int64_t width) {
  return (width + strip - 1) / strip;
}

/// Columns first .. first + n of a table times beta.
template <class T>
void scale_columns(int64_t vocabulary, int64_t width, int64_t first, int64_t n, Wide<T> beta,
                   T* table) {
  for (int64_t v = 0; v < vocabulary; ++v) {
    T* row = table + v * width + first;
    for (int64_t i = 0; i < n; ++i) row[i] = beta == T(0) ? T(0) : beta * row[i];
  }
}

/// The same columns of the rows begin .. end of g, each times `weight`, into the table.
template <class T>
void add_columns(int64_t begin, int64_t end, int64_t width, int64_t first, int64_t n,
                 const int64_t* ids, const T* g, T weight, T* table) {
  for (int64_t r = begin; r < end; ++r) {
    const T* from = g + r * width + first;
    T* to = table + ids[r] * width + first;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] += weight * from[i];
  }
}

}  // namespace

template <class T>
void scatter_group_sums(const Segments& segments, int64_t vocabulary, int64_t width,
                        const int64_t* ids, const T* g, Wide<T> beta, Wide<T>* sums,
                        double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const int64_t per_group = strips(width), table = vocabulary * width;
  parallel_for(groups * per_group, element_grain / (vocabulary * strip + 1) + 1,
               [=](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t j = i / per_group, first = i % per_group * strip;
                   const int64_t n = std::min(strip, width - first);
                   T* mine = sums + j * table;
                   scale_columns(vocabulary, width, first, n, beta, mine);
                   add_columns(bounds[j], bounds[j + 1], width, first, n, ids, g, T(1), mine);
                 }
               });
  if (sumsq == nullptr) return;
  parallel_for(groups, element_grain / (table + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) sumsq[j] = sum_of_squares(table, sums + j * table);
  });
}

template <class T>
void scatter_group_sumsq(const Segments& segments, int64_t width, const int64_t* ids, const T* g,
                         double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  parallel_for(groups, 1, [=](int64_t begin, int64_t end) {
    std::vector<std::pair<int64_t, int64_t>>
        order;  // (id, row): equal ids stay in the order of their rows
    std::vector<T> sum(static_cast<size_t>(width));
    for (int64_t j = begin; j < end; ++j) {
      order.clear();
      for (int64_t r = bounds[j]; r < bounds[j + 1]; ++r) order.emplace_back(ids[r], r);
      std::sort(order.begin(), order.end());
      sumsq[j] = 0;
      for (size_t i = 0; i < order.size();) {
        const int64_t id = order[i].first;
        std::fill(sum.begin(), sum.end(), T(0));
        for (; i < order.size() && order[i].first == id; ++i) {
          const T* row = g + order[i].second * width;
#pragma omp simd
          for (int64_t k = 0; k < width; ++k) sum[k] += row[k];
        }
        sumsq[j] += sum_of_squares(width, sum.data());
      }
    }
  });
}

template <class T>
void scatter_weighted_sum(const Segments& segments, int64_t vocabulary, int64_t width,
                          const int64_t* ids, const T* g, const double* c, Wide<T> beta,
                          Wide<T>* sum) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  // Narrower strips than above where there is one table only, so that every core has some; a cache
  // line at least.
  const int64_t columns = std::clamp<int64_t>(width / omp_get_max_threads(), 16, strip);
  const int64_t count = (width + columns - 1) / columns;
  const int64_t work = groups == 0 ? 0 : (bounds[groups] - bounds[0] + vocabulary) * width;
  parallel_for(count, work < element_grain ? count : 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * columns, n = std::min(columns, width - first);
      scale_columns(vocabulary, width, first, n, beta, sum);
      for (int64_t j = 0; j < groups; ++j) {
        const T weight = c == nullptr ? T(1) : static_cast<T>(c[j]);
        if (weight != T(0)) {
          add_columns(bounds[j], bounds[j + 1], width, first, n, ids, g, weight, sum);
        }
      }
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void scatter_group_sums<T>(const Segments&, int64_t, int64_t, const int64_t*, const T*, \
                                      T, T*, double*);                                             \
  template void scatter_group_sumsq<T>(const Segments&, int64_t, const int64_t*, const T*,         \
                                       double*);                                                   \
  template void scatter_weighted_sum<T>(const Segments&, int64_t, int64_t, const int64_t*,         \
                                        const T*, const double*, T, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
