#include "kernels/bias_gelu.h"
#include "kernels/device.h"
#include "kernels/elementwise.h"

/// Bytes moved: x read and y written (x, gy and gx in the backward pass), and b once a block; some
/// 30 flops an element, which memory hides. A thread owns a run of columns, keeps their biases in
/// registers and walks down the rows.
namespace minnow::cuda {
namespace {

template <class T, int n>
__global__ void bias_gelu_forward_kernel(int64_t rows, int64_t width, const T* x, const Wide<T>* b,
                                         T* y) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  const Run<Wide<T>, n> bias = load_run<n>(b + column);
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    const int64_t at = r * width + column;
    Run<Wide<T>, n> run = load_wide<n>(x + at);
    for (int k = 0; k < n; ++k) run.v[k] = Gelu::value(run.v[k] + bias.v[k]);
    store_narrow(y + at, run);
  }
}

template <class T, int n>
__global__ void bias_gelu_backward_kernel(int64_t rows, int64_t width, const T* x, const Wide<T>* b,
                                          const T* gy, T* gx) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  const Run<Wide<T>, n> bias = load_run<n>(b + column);
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    const int64_t at = r * width + column;
    const Run<Wide<T>, n> run = load_wide<n>(x + at);
    Run<Wide<T>, n> g = load_wide<n>(gy + at);
    for (int k = 0; k < n; ++k) g.v[k] *= Gelu::slope(run.v[k] + bias.v[k]);
    store_narrow(gx + at, g);
  }
}

}  // namespace

template <class T>
void bias_gelu_forward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(rows, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, bias_gelu_forward_kernel<T, run>, rows, width, x, b, y);
  };
  with_runs<Pack<T>::size>(width, start, x, b, y);
}

template <class T>
void bias_gelu_backward(int64_t rows, int64_t width, const T* x, const Wide<T>* b, const T* gy,
                        T* gx) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(rows, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, bias_gelu_backward_kernel<T, run>, rows, width, x, b, gy,
                  gx);
  };
  with_runs<Pack<T>::size>(width, start, x, b, gy, gx);
}

#define MINNOW_INSTANTIATE(T)                                                         \
  template void bias_gelu_forward<T>(int64_t, int64_t, const T*, const Wide<T>*, T*); \
  template void bias_gelu_backward<T>(int64_t, int64_t, const T*, const Wide<T>*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
