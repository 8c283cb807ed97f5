#include "kernels/device.h"
#include "kernels/elementwise.h"
#include "kernels/glu.h"

/// Bytes moved: 3 rows width sizeof(T) forward, 5 backward; about 25 flops for each element of y. A
/// thread owns 16 bytes of a row of y and walks down the rows; a warp reads value and gate as two
/// pieces of 512 bytes.
namespace minnow::cuda {
namespace {

template <class T, int n>
__global__ void glu_forward_kernel(int64_t rows, int64_t width, const T* x, T* y) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    const T* from = x + 2 * r * width + column;
    const Run<T, n> value = load_run<n>(from), gate = load_run<n>(from + width);
    Run<T, n> out;
    for (int k = 0; k < n; ++k) {
      out.v[k] = narrow<T>(widen(value.v[k]) * sigmoid_of(widen(gate.v[k])));
    }
    store_run(y + r * width + column, out);
  }
}

template <class T, int n>
__global__ void glu_backward_kernel(int64_t rows, int64_t width, const T* x, const T* gy, T* gx) {
  using W = Wide<T>;
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    const int64_t at = 2 * r * width + column;
    const Run<T, n> value = load_run<n>(x + at), gate = load_run<n>(x + at + width);
    const Run<T, n> g = load_run<n>(gy + r * width + column);
    Run<T, n> g_value, g_gate;
    for (int k = 0; k < n; ++k) {
      const W s = sigmoid_of(widen(gate.v[k])), gk = widen(g.v[k]);
      g_value.v[k] = narrow<T>(gk * s);
      g_gate.v[k] = narrow<T>(gk * widen(value.v[k]) * s * (W(1) - s));
    }
    store_run(gx + at, g_value);
    store_run(gx + at + width, g_gate);
  }
}

}  // namespace

template <class T>
void glu_forward(int64_t rows, int64_t width, const T* x, T* y) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(rows, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, glu_forward_kernel<T, run>, rows, width, x, y);
  };
  with_runs<Pack<T>::size>(width, start, x, y);
}

template <class T>
void glu_backward(int64_t rows, int64_t width, const T* x, const T* gy, T* gx) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(rows, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, glu_backward_kernel<T, run>, rows, width, x, gy, gx);
  };
  with_runs<Pack<T>::size>(width, start, x, gy, gx);
}

#define MINNOW_INSTANTIATE(T)                                   \
  template void glu_forward<T>(int64_t, int64_t, const T*, T*); \
  template void glu_backward<T>(int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
