#include "kernels/rescaled_sum.h"

#include <algorithm>
#include <vector>

#include "kernels/gemm.h"
#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void rescaled_sum(int64_t groups, int64_t n, const T* x, const double* c, T beta, T* sum) {
  constexpr int64_t block =
      2048;  // of the result: stays in the first-level cache while the groups stream by
  const int64_t blocks = (n + block - 1) / block;
  parallel_for(blocks, element_grain / block, [=](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      const int64_t begin = b * block, width = std::min(block, n - begin);
      T* out = sum + begin;
      for (int64_t i = 0; i < width; ++i) out[i] = beta == T(0) ? T(0) : beta * out[i];
      for (int64_t j = 0; j < groups; ++j) {
        const T cj = static_cast<T>(c[j]);
        if (c[j] == 0) continue;
        const T* row = x + j * n + begin;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) out[i] += cj * row[i];
      }
    }
  });
}

template <class T>
void gram(int64_t groups, int64_t n, const T* x, double* products) {
  // One product for each run of columns, short enough that its float sums round by no more than a
  // few eps.
  constexpr int64_t run = 1024;
  const int64_t runs = (n + run - 1) / run;
  std::vector<T> parts(static_cast<size_t>(runs * groups * groups));
  parallel_for(runs, 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const T* block = x + r * run;
      gemm(Op::none, Op::transpose, groups, groups, std::min(run, n - r * run), T(1), block, n,
           block, n, T(0), parts.data() + r * groups * groups, groups);
    }
  });
  for (int64_t r = 0; r < runs; ++r) {
    const T* part = parts.data() + r * groups * groups;
    for (int64_t i = 0; i < groups * groups; ++i) products[i] += static_cast<double>(part[i]);
  }
}

#define MINNOW_INSTANTIATE(T)                                                      \
  template void rescaled_sum<T>(int64_t, int64_t, const T*, const double*, T, T*); \
  template void gram<T>(int64_t, int64_t, const T*, double*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
