#include <limits>

#include "kernels/device.h"
#include "kernels/embedding.h"

/// Bytes moved: rows width sizeof(T) written and at most as many read (rows of the table that come
/// again may be cached), 8 rows for the ids; no flops. A thread owns 16 bytes of a row and walks
/// down the rows.
namespace minnow::cuda {
namespace {

template <class T, int n>
__global__ void embedding_forward_kernel(int64_t rows, int64_t width, int64_t vocabulary,
                                         const int64_t* ids, const T* weight, T* y) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    const int64_t id = ids[r];
    Run<T, n> run;
    for (int k = 0; k < n; ++k) run.v[k] = std::numeric_limits<T>::quiet_NaN();
    if (id >= 0 && id < vocabulary) run = load_run<n>(weight + id * width + column);
    store_run(y + r * width + column, run);
  }
}

}  // namespace

template <class T>
void embedding_forward(int64_t rows, int64_t width, int64_t vocabulary, const int64_t* ids,
                       const T* weight, T* y) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(rows, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, embedding_forward_kernel<T, run>, rows, width, vocabulary,
                  ids, weight, y);
  };
  with_runs<Pack<T>::size>(width, start, weight, y);
}

#define MINNOW_INSTANTIATE(T) \
  template void embedding_forward<T>(int64_t, int64_t, int64_t, const int64_t*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
