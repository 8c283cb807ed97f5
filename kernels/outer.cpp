#include "kernels/outer.h"

#include <algorithm>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/launch.h"
#include "kernels/reduce.h"

namespace minnow::cpu {

template <class T>
void outer_sum(int64_t rows, int64_t in, int64_t out, const T* a, const T* g, Wide<T> beta,
               Wide<T>* sum) {
  gemm(Op::transpose, Op::none, out, in, rows, T(1), g, out, a, in, beta, sum, in);
}

template <class T>
void outer_group_sums(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                      Wide<T> beta, Wide<T>* sums, double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const auto one = [=](int64_t j) {
    T* mine = sums + j * in * out;
    outer_sum(bounds[j + 1] - bounds[j], in, out, a + bounds[j] * in, g + bounds[j] * out, beta,
              mine);
    if (sumsq != nullptr) sumsq[j] = sum_of_squares(in * out, mine);
  };
  if (groups < omp_get_max_threads()) {  // too few for one a thread: share the cores inside each
    for (int64_t j = 0; j < groups; ++j) one(j);
    return;
  }
  parallel_for(groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) one(j);
  });
}

template <class T>
void outer_group_sumsq(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                       double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  // A tile of the product that stays in the second-level cache beside the operands.
  const int64_t tile =
      std::clamp<int64_t>(65536 / std::max<int64_t>(in, 1), 16, std::max<int64_t>(out, 16));
  const int64_t tiles = (out + tile - 1) / tile;
  std::vector<double> parts(static_cast<size_t>(groups * tiles), 0.0);
  parallel_for(groups * tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<T> scratch;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j = i / tiles, first = i % tiles * tile, n = std::min(tile, out - first);
      const int64_t rows = bounds[j + 1] - bounds[j];
      const T* aj = a + bounds[j] * in;
      const T* gj = g + bounds[j] * out + first;
      if (rows == 1) {
        parts[i] = sum_of_squares(in, aj) * sum_of_squares(n, gj);
        continue;
      }
      scratch.resize(static_cast<size_t>(tile * in));
      gemm(Op::transpose, Op::none, n, in, rows, T(1), gj, out, aj, in, T(0), scratch.data(), in);
      parts[i] = sum_of_squares(n * in, scratch.data());
    }
  });
  for (int64_t j = 0; j < groups; ++j) {
    sumsq[j] = 0;
    for (int64_t t = 0; t < tiles; ++t) sumsq[j] += parts[j * tiles + t];
  }
}

namespace {

/// The rows of one block times their group's coefficient; rows of a group with coefficient 0 become
/// 0.
template <class T>
void scale_rows(int64_t begin, int64_t end, int64_t width, const int64_t* bounds, int64_t groups,
                const T* g, const double* c, T* scaled) {
  const int64_t* after = std::upper_bound(bounds, bounds + groups + 1, begin);
  int64_t j = after - bounds - 1;
  for (int64_t r = begin; r < end; ++r) {
    while (r >= bounds[j + 1]) ++j;
    const T cj = static_cast<T>(c[j]);
    T* row = scaled + (r - begin) * width;
    for (int64_t i = 0; i < width; ++i) row[i] = cj == T(0) ? T(0) : cj * g[r * width + i];
  }
}

}  // namespace

template <class T>
void outer_weighted_sum(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                        const double* c, Wide<T> beta, Wide<T>* sum) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  constexpr int64_t block =
      512;  // rows scaled into scratch memory at a time: they stay in the cache
  std::vector<T> scaled(static_cast<size_t>(block * out));
  if (beta == T(0)) std::fill_n(sum, in * out, T(0));
  // Maximal runs of groups that take part: the operands of the others may be NaN, and 0 times NaN
  // is NaN.
  for (int64_t j = 0; j < groups;) {
    int64_t last = j;
    while (last < groups && c[last] != 0) ++last;
    for (int64_t r = bounds[j]; r < bounds[last]; r += block) {
      const int64_t n = std::min(block, bounds[last] - r);
      parallel_for(n, element_grain / (out + 1) + 1, [&](int64_t begin, int64_t end) {
        scale_rows(r + begin, r + end, out, bounds, groups, g, c, scaled.data() + begin * out);
      });
      gemm(Op::transpose, Op::none, out, in, n, T(1), scaled.data(), out, a + r * in, in, T(1), sum,
           in);
    }
    j = last + 1;
  }
}

#define MINNOW_INSTANTIATE(T)                                                                     \
  template void outer_sum<T>(int64_t, int64_t, int64_t, const T*, const T*, T, T*);               \
  template void outer_group_sums<T>(const Segments&, int64_t, int64_t, const T*, const T*, T, T*, \
                                    double*);                                                     \
  template void outer_group_sumsq<T>(const Segments&, int64_t, int64_t, const T*, const T*,       \
                                     double*);                                                    \
  template void outer_weighted_sum<T>(const Segments&, int64_t, int64_t, const T*, const T*,      \
                                      const double*, T, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
