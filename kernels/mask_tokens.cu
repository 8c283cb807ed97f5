#include "kernels/device.h"
#include "kernels/mask_tokens.h"

/// Bytes moved: at most 2 examples tokens width sizeof(T), no flops: bound by memory.
namespace minnow::cuda {
namespace {

/// A thread owns 16 bytes of a token and walks over the tokens of all examples.
template <class T, int n>
__global__ void mask_tokens_kernel(int64_t examples, int64_t tokens, int64_t width,
                                   const int64_t* lengths, const T* x, T* y) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  for (int64_t r = matrix_row(); r < examples * tokens; r += matrix_row_step()) {
    const int64_t e = r / tokens, t = r - e * tokens;
    Run<T, n> run{};
    if (t < lengths[e]) run = load_run<n>(x + r * width + column);
    store_run(y + r * width + column, run);
  }
}

__global__ void window_counts_kernel(int64_t n, int64_t kernel, int64_t stride, const int64_t* from,
                                     int64_t* to) {
  for (int64_t i = grid_thread(); i < n; i += grid_threads()) {
    to[i] = window_count(from[i], kernel, stride);
  }
}

}  // namespace

template <class T>
void mask_tokens(int64_t examples, int64_t tokens, int64_t width, const int64_t* lengths,
                 const T* x, T* y) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(examples * tokens, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, mask_tokens_kernel<T, run>, examples, tokens, width,
                  lengths, x, y);
  };
  with_runs<Pack<T>::size>(width, start, x, y);
}

void window_counts(int64_t n, int64_t kernel, int64_t stride, const int64_t* from, int64_t* to) {
  MINNOW_LAUNCH(grid_for(n), block_threads, 0, window_counts_kernel, n, kernel, stride, from, to);
}

#define MINNOW_INSTANTIATE(T) \
  template void mask_tokens<T>(int64_t, int64_t, int64_t, const int64_t*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
