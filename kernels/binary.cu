#include "kernels/binary.h"
#include "kernels/device.h"

/// Bytes moved: every array once, n sizeof(T) for each one read or written (what a
/// broadcast repeats once a block); at most 2 n flops. All but the broadcasts are maps: 16 bytes a
/// thread and array in a grid-stride loop.
namespace minnow::cuda {
namespace {

struct Sum {
  template <class W>
  __device__ W operator()(W a, W b) const {
    return a + b;
  }
};

struct Product {
  template <class W>
  __device__ W operator()(W a, W b) const {
    return a * b;
  }
};

template <class W>
struct Times {
  W alpha;
  __device__ W operator()(W x) const { return alpha * x; }
};

template <class W>
struct PlusTimes {
  W alpha;
  __device__ W operator()(W y, W x) const { return y + alpha * x; }
};

struct Zero {
  __device__ float operator()() const { return 0; }
};

template <class T, int n>
__global__ void scale_by_kernel(int64_t count, const double* alpha, const T* x, T* y) {
  const double factor = *alpha;
  if (factor == 0) {
    map_elements<n>(count, Zero(), y);
  } else if (factor != 1 || x != y) {
    map_elements<n>(count, Times<Wide<T>>{static_cast<Wide<T>>(factor)}, y, x);
  }
}

template <class T, int n>
__global__ void add_scaled_by_kernel(int64_t count, const double* alpha, const T* x, T* y) {
  const double factor = *alpha;
  if (factor != 0) {
    map_elements<n>(count, PlusTimes<Wide<T>>{static_cast<Wide<T>>(factor)}, y, y, x);
  }
}

/// A thread keeps its piece of b in registers while it walks down the rows.
template <class F, class T, int n>
__global__ void broadcast_kernel(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  const Run<Wide<T>, n> same = load_run<n>(b + column);
  for (int64_t r = matrix_row(); r < rows; r += matrix_row_step()) {
    Run<T, n> run = load_run<n>(x + r * width + column);
    for (int k = 0; k < n; ++k) run.v[k] = narrow<T>(F()(widen(run.v[k]), same.v[k]));
    store_run(y + r * width + column, run);
  }
}

template <class F, class T>
void broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  const auto start = [=](auto run) {
    constexpr int n = run;
    const dim3 grid = matrix_grid(rows, width / n);
    MINNOW_LAUNCH(grid, matrix_block, 0, broadcast_kernel<F, T, n>, rows, width, x, b, y);
  };
  with_runs<Pack<T>::size>(width, start, x, b, y);
}

}  // namespace

template <class T>
void add(int64_t n, const T* a, const T* b, T* y) {
  map(n, Sum(), y, a, b);
}

template <class T>
void multiply(int64_t n, const T* a, const T* b, T* y) {
  map(n, Product(), y, a, b);
}

template <class T>
void scale(int64_t n, Wide<T> alpha, const T* x, T* y) {
  map(n, Times<Wide<T>>{alpha}, y, x);
}

template <class T>
void add_scaled(int64_t n, Wide<T> alpha, const T* x, T* y) {
  map(n, PlusTimes<Wide<T>>{alpha}, y, y, x);
}

template <class T>
void scale_by(int64_t n, const double* alpha, const T* x, T* y) {
  const auto start = [=](auto run) {
    const unsigned grid = grid_for(ceil_div(n, run));
    MINNOW_LAUNCH(grid, block_threads, 0, scale_by_kernel<T, run>, n, alpha, x, y);
  };
  with_runs<Pack<T>::size>(0, start, x, y);
}

template <class T>
void add_scaled_by(int64_t n, const double* alpha, const T* x, T* y) {
  const auto start = [=](auto run) {
    const unsigned grid = grid_for(ceil_div(n, run));
    MINNOW_LAUNCH(grid, block_threads, 0, add_scaled_by_kernel<T, run>, n, alpha, x, y);
  };
  with_runs<Pack<T>::size>(0, start, x, y);
}

template <class T>
void add_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  broadcast<Sum>(rows, width, x, b, y);
}

template <class T>
void multiply_broadcast(int64_t rows, int64_t width, const T* x, const Wide<T>* b, T* y) {
  broadcast<Product>(rows, width, x, b, y);
}

#define MINNOW_INSTANTIATE(T)                                                     \
  template void add<T>(int64_t, const T*, const T*, T*);                          \
  template void multiply<T>(int64_t, const T*, const T*, T*);                     \
  template void scale<T>(int64_t, Wide<T>, const T*, T*);                         \
  template void add_scaled<T>(int64_t, Wide<T>, const T*, T*);                    \
  template void scale_by<T>(int64_t, const double*, const T*, T*);                \
  template void add_scaled_by<T>(int64_t, const double*, const T*, T*);           \
  template void add_broadcast<T>(int64_t, int64_t, const T*, const Wide<T>*, T*); \
  template void multiply_broadcast<T>(int64_t, int64_t, const T*, const Wide<T>*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
