#include <cmath>
#include <limits>

#include "kernels/cross_entropy.h"
#include "kernels/device.h"
#include "kernels/softmax_row.h"

/// Forward, and backward for soft targets: a warp shares a row of up to 1024 classes, a block a
/// longer one. Memory moves 2 rows C sizeof(T) forward, as much backward, and as much again for
/// soft targets; further reads of a row come from the cache. About 50 flops a logit forward (e^x
/// twice), at most 6 backward.
namespace minnow::cuda {
namespace {

/// The part of the loss that falls to the label.
template <class T>
__device__ T label_loss(int64_t classes, T smoothing, const SoftmaxRow<T>& row, const T* x,
                        int64_t label) {
  if (label < 0 || label >= classes) return std::numeric_limits<T>::quiet_NaN();
  if (smoothing >= T(1)) return 0;
  return -(T(1) - smoothing) * (x[label] - row.most);
}

template <class T, int n, int team>
__global__ void cross_entropy_forward_kernel(int64_t rows, int64_t classes, T smoothing, const T* x,
                                             const int64_t* labels, T* p, T* losses) {
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const T* logits = x + r * classes;
    const SoftmaxRow<T> row = softmax_row<n, team>(classes, logits);
    store_softmax<n, team>(classes, row, logits, p + r * classes);
    T loss = std::log(row.sum) + label_loss(classes, smoothing, row, logits, labels[r]);
    if (smoothing > T(0)) {
      T sum = 0;
      each_run<n, team>(classes, [&](int64_t i) {
        const Run<T, n> run = load_run<n>(logits + i);
        for (int k = 0; k < n; ++k) sum += run.v[k] - row.most;
      });
      loss -= smoothing / static_cast<T>(classes) * team_sum<team>(sum);
    }
    if (threadIdx.x % team == 0) losses[r] = loss;
  }
}

/// A thread owns 16 bytes of a row and walks down the rows.
template <class T, int n>
__global__ void cross_entropy_backward_kernel(int64_t rows, int64_t classes, T smoothing,
                                              const T* p, const int64_t* labels, const T* gy,
                                              T* gx) {
  const int64_t column = matrix_column() * n;
  if (column >= classes) return;
  const T each = smoothing / static_cast<T>(classes), rest = T(1) - smoothing;
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    const int64_t label = labels[r];
    const bool known = label >= 0 && label < classes;
    const T g = known ? gy[r] : std::numeric_limits<T>::quiet_NaN();
    Run<T, n> run = load_run<n>(p + r * classes + column);
    for (int k = 0; k < n; ++k) {
      run.v[k] = g * (run.v[k] - each);
      if (column + k == label) run.v[k] -= g * rest;
    }
    store_run(gx + r * classes + column, run);
  }
}

template <class T, int n, int team>
__global__ void soft_cross_entropy_forward_kernel(int64_t rows, int64_t classes, T smoothing,
                                                  const T* x, const T* targets, T* p, T* losses) {
  const T each = smoothing / static_cast<T>(classes), rest = T(1) - smoothing;
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const T* logits = x + r * classes;
    const SoftmaxRow<T> row = softmax_row<n, team>(classes, logits);
    store_softmax<n, team>(classes, row, logits, p + r * classes);
    const T log_sum = std::log(row.sum);
    T loss = 0;
    each_run<n, team>(classes, [&](int64_t i) {
      const Run<T, n> run = load_run<n>(logits + i),
                      target = load_run<n>(targets + r * classes + i);
      for (int k = 0; k < n; ++k) {
        const T t = rest * target.v[k] + each;
        loss += t == T(0) ? T(0) : t * (log_sum - (run.v[k] - row.most));
      }
    });
    loss = team_sum<team>(loss);
    if (threadIdx.x % team == 0) losses[r] = loss;
  }
}

template <class T, int n, int team>
__global__ void soft_cross_entropy_backward_kernel(int64_t rows, int64_t classes, T smoothing,
                                                   const T* p, const T* targets, const T* gy,
                                                   T* gx) {
  const T each = smoothing / static_cast<T>(classes), rest = T(1) - smoothing;
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const int64_t at = r * classes;
    T total = 0;
    each_run<n, team>(classes, [&](int64_t i) {
      const Run<T, n> target = load_run<n>(targets + at + i);
      for (int k = 0; k < n; ++k) total += rest * target.v[k] + each;
    });
    total = team_sum<team>(total);
    const T g = gy[r];
    each_run<n, team>(classes, [&](int64_t i) {
      const Run<T, n> target = load_run<n>(targets + at + i);
      Run<T, n> run = load_run<n>(p + at + i);
      for (int k = 0; k < n; ++k) run.v[k] = g * (run.v[k] * total - (rest * target.v[k] + each));
      store_run(gx + at + i, run);
    });
  }
}

}  // namespace

template <class T>
void cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                           const int64_t* labels, T* p, T* losses) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, cross_entropy_forward_kernel<T, run, team>, rows, classes,
                  smoothing, x, labels, p, losses);
  };
  with_teams<T>(rows, classes, start, x, p);
}

template <class T>
void cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                            const int64_t* labels, const T* gy, T* gx) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(rows, classes / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, cross_entropy_backward_kernel<T, run>, rows, classes,
                  smoothing, p, labels, gy, gx);
  };
  with_runs<Pack<T>::size>(classes, start, p, gx);
}

template <class T>
void soft_cross_entropy_forward(int64_t rows, int64_t classes, T smoothing, const T* x,
                                const T* targets, T* p, T* losses) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, soft_cross_entropy_forward_kernel<T, run, team>, rows,
                  classes, smoothing, x, targets, p, losses);
  };
  with_teams<T>(rows, classes, start, x, targets, p);
}

template <class T>
void soft_cross_entropy_backward(int64_t rows, int64_t classes, T smoothing, const T* p,
                                 const T* targets, const T* gy, T* gx) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, soft_cross_entropy_backward_kernel<T, run, team>, rows,
                  classes, smoothing, p, targets, gy, gx);
  };
  with_teams<T>(rows, classes, start, p, targets, gx);
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void cross_entropy_forward<T>(int64_t, int64_t, T, const T*, const int64_t*, T*, T*);   \
  template void cross_entropy_backward<T>(int64_t, int64_t, T, const T*, const int64_t*, const T*, \
                                          T*);                                                     \
  template void soft_cross_entropy_forward<T>(int64_t, int64_t, T, const T*, const T*, T*, T*);    \
  template void soft_cross_entropy_backward<T>(int64_t, int64_t, T, const T*, const T*, const T*,  \
                                               T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
