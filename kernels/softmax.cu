#include <cmath>

#include "kernels/device.h"
#include "kernels/softmax.h"
#include "kernels/softmax_row.h"

/// A warp shares a row of up to 1024 elements, a block a longer one. Memory moves 2 rows width
/// sizeof(T) forward and 3 backward: a row is read again for each sum and for the result, but comes
/// from the cache then. Forward takes about 50 flops an element (e^x twice, since a sum of numbers
/// rounded to bfloat16 would be of no use), backward 4 or 25.
namespace minnow::cuda {
namespace {

template <class T, int n, int team>
__global__ void softmax_forward_kernel(int64_t rows, int64_t width, const T* x, T* y) {
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const T* from = x + r * width;
    store_softmax<n, team>(width, softmax_row<n, team>(width, from), from, y + r * width);
  }
}

template <class T, int n, int team>
__global__ void softmax_backward_kernel(int64_t rows, int64_t width, const T* y, const T* gy,
                                        T* gx) {
  using W = Wide<T>;
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const int64_t at = r * width;
    W dot = 0;
    each_run<n, team>(width, [&](int64_t i) {
      const Run<T, n> g = load_run<n>(gy + at + i), p = load_run<n>(y + at + i);
      for (int k = 0; k < n; ++k) dot += widen(g.v[k]) * widen(p.v[k]);
    });
    dot = team_sum<team>(dot);
    each_run<n, team>(width, [&](int64_t i) {
      const Run<T, n> g = load_run<n>(gy + at + i);
      Run<T, n> p = load_run<n>(y + at + i);
      for (int k = 0; k < n; ++k) p.v[k] = narrow<T>(widen(p.v[k]) * (widen(g.v[k]) - dot));
      store_run(gx + at + i, p);
    });
  }
}

template <class T, int n, int team>
__global__ void log_softmax_forward_kernel(int64_t rows, int64_t width, const T* x, T* y) {
  using W = Wide<T>;
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const SoftmaxRow<W> row = softmax_row<n, team>(width, x + r * width);
    const W log_sum = std::log(row.sum);
    each_run<n, team>(width, [&](int64_t i) {
      Run<T, n> run = load_run<n>(x + r * width + i);
      for (int k = 0; k < n; ++k) run.v[k] = narrow<T>((widen(run.v[k]) - row.most) - log_sum);
      store_run(y + r * width + i, run);
    });
  }
}

template <class T, int n, int team>
__global__ void log_softmax_backward_kernel(int64_t rows, int64_t width, const T* y, const T* gy,
                                            T* gx) {
  using W = Wide<T>;
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    const int64_t at = r * width;
    W sum = 0;
    each_run<n, team>(width, [&](int64_t i) {
      const Run<T, n> g = load_run<n>(gy + at + i);
      for (int k = 0; k < n; ++k) sum += widen(g.v[k]);
    });
    sum = team_sum<team>(sum);
    each_run<n, team>(width, [&](int64_t i) {
      const Run<T, n> log_p = load_run<n>(y + at + i);
      Run<T, n> g = load_run<n>(gy + at + i);
      for (int k = 0; k < n; ++k) {
        g.v[k] = narrow<T>(widen(g.v[k]) - fast_exp(widen(log_p.v[k])) * sum);
      }
      store_run(gx + at + i, g);
    });
  }
}

}  // namespace

template <class T>
void softmax_forward(int64_t rows, int64_t width, const T* x, T* y) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, softmax_forward_kernel<T, run, team>, rows, width, x, y);
  };
  with_teams<T>(rows, width, start, x, y);
}

template <class T>
void softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, softmax_backward_kernel<T, run, team>, rows, width, y, gy,
                  gx);
  };
  with_teams<T>(rows, width, start, y, gy, gx);
}

template <class T>
void log_softmax_forward(int64_t rows, int64_t width, const T* x, T* y) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, log_softmax_forward_kernel<T, run, team>, rows, width, x,
                  y);
  };
  with_teams<T>(rows, width, start, x, y);
}

template <class T>
void log_softmax_backward(int64_t rows, int64_t width, const T* y, const T* gy, T* gx) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, log_softmax_backward_kernel<T, run, team>, rows, width, y,
                  gy, gx);
  };
  with_teams<T>(rows, width, start, y, gy, gx);
}

#define MINNOW_INSTANTIATE(T)                                                  \
  template void softmax_forward<T>(int64_t, int64_t, const T*, T*);            \
  template void softmax_backward<T>(int64_t, int64_t, const T*, const T*, T*); \
  template void log_softmax_forward<T>(int64_t, int64_t, const T*, T*);        \
  template void log_softmax_backward<T>(int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
