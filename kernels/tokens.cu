#include "kernels/device.h"
#include "kernels/lengths.h"
#include "kernels/tokens.h"

/// Bytes moved: count n sizeof(T) read (once for a repeated block) and written by copy_blocks;
/// examples tokens width sizeof(T) read by the mean, written by its backward; one flop an element.
namespace minnow::cuda {
namespace {

/// A thread owns 16 bytes of a block and walks over the blocks.
template <class T, int n>
__global__ void copy_blocks_kernel(int64_t count, int64_t size, const T* x, int64_t x_stride, T* y,
                                   int64_t y_stride) {
  const int64_t column = matrix_column() * n;
  if (column >= size) return;
  for (int64_t i = matrix_row(); i < count; i += matrix_row_step()) {
    store_run(y + i * y_stride + column, load_run<n>(x + i * x_stride + column));
  }
}

/// A block takes 32 runs of columns of one example at a time; each of its 8 rows of threads adds up
/// every eighth token, so that short sequences of few examples still fill the device, and the first
/// row adds the eight sums in order.
template <class T, int n>
__global__ void mean_tokens_forward_kernel(int64_t examples, int64_t tokens, int64_t width,
                                           int64_t first, const int64_t* lengths, const T* x,
                                           T* y) {
  using W = Wide<T>;
  MINNOW_SHARED(W, partial, [matrix_rows][warp_lanes * n]);
  const int64_t column = matrix_column() * n;
  const int row = static_cast<int>(threadIdx.y), lane = static_cast<int>(threadIdx.x);
  for (int64_t e = blockIdx.y; e < examples; e += gridDim.y) {
    const int64_t end = live_tokens(lengths, e, tokens);
    const W scale = end > first ? W(1) / static_cast<W>(end - first) : W(0);
    W sum[n] = {};
    for (int64_t t = first + row; t < end && column < width; t += matrix_rows) {
      const Run<T, n> run = load_run<n>(x + (e * tokens + t) * width + column);
      for (int k = 0; k < n; ++k) sum[k] += widen(run.v[k]);
    }
    for (int k = 0; k < n; ++k) partial[row][k * warp_lanes + lane] = sum[k];
    __syncthreads();
    if (row == 0 && column < width) {
      Run<T, n> mean;
      for (int k = 0; k < n; ++k) {
        W total = 0;
        for (int j = 0; j < matrix_rows; ++j) total += partial[j][k * warp_lanes + lane];
        mean.v[k] = narrow<T>(total * scale);
      }
      store_run(y + e * width + column, mean);
    }
    __syncthreads();  // the next example overwrites `partial`
  }
}

/// A thread owns 16 bytes of a token and walks over the tokens of all examples.
template <class T, int n>
__global__ void mean_tokens_backward_kernel(int64_t examples, int64_t tokens, int64_t width,
                                            int64_t first, const int64_t* lengths, const T* gy,
                                            T* gx) {
  using W = Wide<T>;
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  for (int64_t r = matrix_row(); r < examples * tokens; r += matrix_row_step()) {
    const int64_t e = r / tokens, t = r - e * tokens;
    const int64_t end = live_tokens(lengths, e, tokens);
    Run<T, n> run{};
    if (t >= first && t < end) {
      const W scale = W(1) / static_cast<W>(end - first);
      run = load_run<n>(gy + e * width + column);
      for (int k = 0; k < n; ++k) run.v[k] = narrow<T>(widen(run.v[k]) * scale);
    }
    store_run(gx + r * width + column, run);
  }
}

}  // namespace

template <class T>
void copy_blocks(int64_t count, int64_t n, const T* x, int64_t x_stride, T* y, int64_t y_stride) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(count, n / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, copy_blocks_kernel<T, run>, count, n, x, x_stride, y,
                  y_stride);
  };
  // One or's bits tell whether a run divides all three, for its size is a power of two.
  with_runs<Pack<T>::size>(n | x_stride | y_stride, start, x, y);
}

template <class T>
void mean_tokens_forward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                         const int64_t* lengths, const T* x, T* y) {
  const auto start = [=](auto run) {
    // A block, not a row of threads, takes an example.
    const dim3 grid = matrix_grid(examples * matrix_rows, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, mean_tokens_forward_kernel<T, run>, examples, tokens,
                  width, first, lengths, x, y);
  };
  with_runs<Pack<T>::size>(width, start, x, y);
}

template <class T>
void mean_tokens_backward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                          const int64_t* lengths, const T* gy, T* gx) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(examples * tokens, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, mean_tokens_backward_kernel<T, run>, examples, tokens,
                  width, first, lengths, gy, gx);
  };
  with_runs<Pack<T>::size>(width, start, gy, gx);
}

#define MINNOW_INSTANTIATE(T)                                                               \
  template void copy_blocks<T>(int64_t, int64_t, const T*, int64_t, T*, int64_t);           \
  template void mean_tokens_forward<T>(int64_t, int64_t, int64_t, int64_t, const int64_t*,  \
                                       const T*, T*);                                       \
  template void mean_tokens_backward<T>(int64_t, int64_t, int64_t, int64_t, const int64_t*, \
                                        const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
