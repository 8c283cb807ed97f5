#pragma once

#include <limits>

#include "kernels/device.h"
#include "kernels/elementwise.h"

namespace minnow::cuda {

/// What softmax and its logarithm need of a row.
template <class W>
struct SoftmaxRow {
  W most;  ///< the largest element, passing over NaN; -infinity where there is no other
  W sum;   ///< sum of e^(x - most): NaN where x holds one, otherwise at least 1
};

/// Of a row that a team shares; every thread of it gets the result. The row is read twice, the
/// second time from the cache.
template <int n, int team, class T>
__device__ inline SoftmaxRow<Wide<T>> softmax_row(int64_t width, const T* x) {
  using W = Wide<T>;
  W most = -std::numeric_limits<W>::infinity();
  each_run<n, team>(width, [&](int64_t i) {
    const Run<T, n> run = load_run<n>(x + i);
    for (int k = 0; k < n; ++k) most = widen(run.v[k]) > most ? widen(run.v[k]) : most;
  });
  most = team_max<team>(most);
  W sum = 0;
  each_run<n, team>(width, [&](int64_t i) {
    const Run<T, n> run = load_run<n>(x + i);
    for (int k = 0; k < n; ++k) sum += fast_exp(widen(run.v[k]) - most);
  });
  return {most, team_sum<team>(sum)};
}

/// The team writes the softmax of that row.
template <int n, int team, class T>
__device__ inline void store_softmax(int64_t width, const SoftmaxRow<Wide<T>>& row, const T* x,
                                     T* p) {
  const Wide<T> scale = Wide<T>(1) / row.sum;
  each_run<n, team>(width, [&](int64_t i) {
    Run<T, n> run = load_run<n>(x + i);
    for (int k = 0; k < n; ++k) {
      run.v[k] = narrow<T>(fast_exp(widen(run.v[k]) - row.most) * scale);
    }
    store_run(p + i, run);
  });
}

}  // namespace minnow::cuda
