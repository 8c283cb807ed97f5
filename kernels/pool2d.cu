#include "kernels/device.h"
#include "kernels/pool2d.h"

/// A thread owns a place of the plane that is written and walks over the planes, so that its window
/// is found once; a warp reads neighbouring windows. Memory moves the elements of x and y once
/// (overlapping windows come from the cache), and 8 bytes for each output's place; kernel^2
/// operations for each output. The backward passes gather, since adding in no fixed order would
/// not give the same bits twice.
namespace minnow::cuda {
namespace {

/// Places [begin, end) along an axis.
struct Range {
  int64_t begin, end;
  __device__ Range(int64_t b, int64_t e, int64_t size)
      : begin(b > 0 ? b : 0), end(e < size ? e : size) {}
};

/// What window `i` covers of an axis of `size` elements.
__device__ Range window(const PoolShape& s, int64_t i, int64_t size) {
  const int64_t begin = i * s.stride - s.padding;
  return {begin, begin + s.kernel, size};
}

/// Of `out` windows along an axis those that cover element h.
__device__ Range windows_over(const PoolShape& s, int64_t h, int64_t out) {
  const int64_t past = h + s.padding - s.kernel;  // windows that begin here or before end before h
  return {past < 0 ? 0 : past / s.stride + 1, (h + s.padding) / s.stride + 1, out};
}

template <class T>
__global__ void max_pool_forward_kernel(PoolShape s, int64_t out_h, int64_t out_w, const T* x, T* y,
                                        int64_t* place) {
  const int64_t out = out_h * out_w, column = matrix_column();
  if (column >= out) return;
  const Range rows = window(s, column / out_w, s.height),
              columns = window(s, column % out_w, s.width);
  for (int64_t p = matrix_row(); p < s.planes; p += matrix_row_step()) {
    const T* plane = x + p * s.height * s.width;
    int64_t best = rows.begin * s.width + columns.begin;
    Wide<T> most = widen(plane[best]);
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = columns.begin; w < columns.end; ++w) {
        const Wide<T> value = widen(plane[h * s.width + w]);
        if (value > most || value != value) {
          most = value;
          best = h * s.width + w;
        }
      }
    }
    y[p * out + column] = narrow<T>(most);
    place[p * out + column] = best;
  }
}

template <class T>
__global__ void max_pool_backward_kernel(PoolShape s, int64_t out_h, int64_t out_w,
                                         const int64_t* place, const T* gy, T* gx) {
  const int64_t area = s.height * s.width, out = out_h * out_w, column = matrix_column();
  if (column >= area) return;
  const Range rows = windows_over(s, column / s.width, out_h);
  const Range columns = windows_over(s, column % s.width, out_w);
  for (int64_t p = matrix_row(); p < s.planes; p += matrix_row_step()) {
    Wide<T> sum = 0;
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      for (int64_t j = columns.begin; j < columns.end; ++j) {
        const int64_t at = p * out + i * out_w + j;
        if (place[at] == column) sum += widen(gy[at]);
      }
    }
    gx[p * area + column] = narrow<T>(sum);
  }
}

template <class T>
__global__ void avg_pool_forward_kernel(PoolShape s, int64_t out_h, int64_t out_w, const T* x,
                                        T* y) {
  const int64_t out = out_h * out_w, column = matrix_column();
  if (column >= out) return;
  const Range rows = window(s, column / out_w, s.height),
              columns = window(s, column % out_w, s.width);
  const Wide<T> share = Wide<T>(1) / static_cast<Wide<T>>(s.kernel * s.kernel);
  for (int64_t p = matrix_row(); p < s.planes; p += matrix_row_step()) {
    const T* plane = x + p * s.height * s.width;
    Wide<T> sum = 0;
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      for (int64_t w = columns.begin; w < columns.end; ++w) sum += widen(plane[h * s.width + w]);
    }
    y[p * out + column] = narrow<T>(share * sum);
  }
}

template <class T>
__global__ void avg_pool_backward_kernel(PoolShape s, int64_t out_h, int64_t out_w, const T* gy,
                                         T* gx) {
  const int64_t area = s.height * s.width, out = out_h * out_w, column = matrix_column();
  if (column >= area) return;
  const Range rows = windows_over(s, column / s.width, out_h);
  const Range columns = windows_over(s, column % s.width, out_w);
  const Wide<T> share = Wide<T>(1) / static_cast<Wide<T>>(s.kernel * s.kernel);
  for (int64_t p = matrix_row(); p < s.planes; p += matrix_row_step()) {
    Wide<T> sum = 0;
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      for (int64_t j = columns.begin; j < columns.end; ++j) {
        sum += widen(gy[p * out + i * out_w + j]);
      }
    }
    gx[p * area + column] = narrow<T>(share * sum);
  }
}

/// A warp shares a plane of up to 1024 elements, a block a larger one.
template <class T, int n, int team>
__global__ void global_avg_pool_forward_kernel(int64_t planes, int64_t area, const T* x, T* y) {
  for (int64_t p = team_first<team>(); p < planes; p += team_step<team>()) {
    Wide<T> sum = 0;
    each_run<n, team>(area, [&](int64_t i) {
      const Run<T, n> run = load_run<n>(x + p * area + i);
      for (int k = 0; k < n; ++k) sum += widen(run.v[k]);
    });
    sum = team_sum<team>(sum);
    if (threadIdx.x % team == 0) y[p] = narrow<T>(sum / static_cast<Wide<T>>(area));
  }
}

template <class T, int n>
__global__ void global_avg_pool_backward_kernel(int64_t planes, int64_t area, const T* gy, T* gx) {
  const int64_t column = matrix_column() * n;
  if (column >= area) return;
  for (int64_t p = matrix_row(); p < planes; p += matrix_row_step()) {
    const T share = narrow<T>(widen(gy[p]) / static_cast<Wide<T>>(area));
    Run<T, n> run;
    for (int k = 0; k < n; ++k) run.v[k] = share;
    store_run(gx + p * area + column, run);
  }
}

}  // namespace

template <class T>
void max_pool_forward(const PoolShape& s, const T* x, T* y, int64_t* place) {
  const int64_t out_h = s.out_h(), out_w = s.out_w();
  MINNOW_LAUNCH(matrix_grid(s.planes, out_h * out_w), matrix_block, 0, max_pool_forward_kernel<T>,
                s, out_h, out_w, x, y, place);
}

template <class T>
void max_pool_backward(const PoolShape& s, const int64_t* place, const T* gy, T* gx) {
  MINNOW_LAUNCH(matrix_grid(s.planes, s.height * s.width), matrix_block, 0,
                max_pool_backward_kernel<T>, s, s.out_h(), s.out_w(), place, gy, gx);
}

template <class T>
void avg_pool_forward(const PoolShape& s, const T* x, T* y) {
  const int64_t out_h = s.out_h(), out_w = s.out_w();
  MINNOW_LAUNCH(matrix_grid(s.planes, out_h * out_w), matrix_block, 0, avg_pool_forward_kernel<T>,
                s, out_h, out_w, x, y);
}

template <class T>
void avg_pool_backward(const PoolShape& s, const T* gy, T* gx) {
  MINNOW_LAUNCH(matrix_grid(s.planes, s.height * s.width), matrix_block, 0,
                avg_pool_backward_kernel<T>, s, s.out_h(), s.out_w(), gy, gx);
}

template <class T>
void global_avg_pool_forward(int64_t planes, int64_t area, const T* x, T* y) {
  const auto start = [=](auto run, auto team, unsigned grid) {
    MINNOW_LAUNCH(grid, block_threads, 0, global_avg_pool_forward_kernel<T, run, team>, planes,
                  area, x, y);
  };
  with_teams<T>(planes, area, start, x);
}

template <class T>
void global_avg_pool_backward(int64_t planes, int64_t area, const T* gy, T* gx) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(planes, area / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, global_avg_pool_backward_kernel<T, run>, planes, area, gy,
                  gx);
  };
  with_runs<Pack<T>::size>(area, start, gx);
}

#define MINNOW_INSTANTIATE(T)                                                         \
  template void max_pool_forward<T>(const PoolShape&, const T*, T*, int64_t*);        \
  template void max_pool_backward<T>(const PoolShape&, const int64_t*, const T*, T*); \
  template void avg_pool_forward<T>(const PoolShape&, const T*, T*);                  \
  template void avg_pool_backward<T>(const PoolShape&, const T*, T*);                 \
  template void global_avg_pool_forward<T>(int64_t, int64_t, const T*, T*);           \
  template void global_avg_pool_backward<T>(int64_t, int64_t, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
