#include <algorithm>

#include "kernels/device.h"
#include "kernels/rescaled_sum.h"

namespace minnow::cuda {
namespace {

/// Reads every group's gradient once, 2 flops an element: bound by memory. A thread has a run of
/// columns and walks down the groups.
template <class T, int n>
__global__ void rescaled_sum_kernel(int64_t groups, int64_t columns, const T* x, const double* c,
                                    T beta, T* sum) {
  for (int64_t i = grid_thread() * n; i < columns; i += grid_threads() * n) {
    Run<T, n> total = {};
    if (beta != T(0)) {
      total = load_run<n>(sum + i);
      for (int k = 0; k < n; ++k) total.v[k] *= beta;
    }
    const auto row = [=](int64_t j) { return x + j * columns + i; };
    add_rows<n>(
        0, groups, 1, row, [=](int64_t j) { return c[j]; }, total);
    store_run(sum + i, total);
  }
}

}  // namespace

template <class T>
void rescaled_sum(int64_t groups, int64_t n, const T* x, const double* c, T beta, T* sum) {
  const auto start = [=](auto run) {
    constexpr int size = run;
    MINNOW_LAUNCH(grid_for(ceil_div(n, size)), block_threads, 0, rescaled_sum_kernel<T, size>,
                  groups, n, x, c, beta, sum);
  };
  with_runs<Pack<T>::size>(n, start, x, sum);
}

namespace {

/// A block of gram_kernel computes tile x tile products, `mine` x `mine` in each of its threads,
/// from `tile` columns at a time; `flush` columns are added up in T, the rest in float64.
constexpr int tile = 32, mine = 4, tile_threads = tile * tile / (mine * mine);
constexpr int64_t flush = 1024;

/// The pairs of tiles that lie on or below the diagonal, counted row by row.
struct TilePair {
  int64_t row, column;
};
__device__ TilePair tile_pair(int64_t index) {
  int64_t row = 0;
  while (index > row) index -= ++row;
  return {row, index};
}

/// Columns begin .. begin + tile of rows first .. first + tile of x, and zeros beyond its end.
template <class T>
__device__ void load_tile(int64_t groups, int64_t columns, int64_t first, int64_t begin, const T* x,
                          T (&rows)[tile][tile + 1]) {
  const int64_t column = begin + threadIdx.x % tile;
  for (int r = threadIdx.x / tile; r < tile; r += tile_threads / tile) {
    const bool inside = first + r < groups && column < columns;
    rows[r][threadIdx.x % tile] = inside ? x[(first + r) * columns + column] : T(0);
  }
}

/// parts [slabs, pairs, tile, tile] = the products of a pair of tiles of groups over one slab of
/// columns. Reads each group's gradient from the device once for each tile of groups, and does
/// groups (groups + tile) flops a column: bound by arithmetic from some 64 groups on.
/// Each thread reads 2 mine numbers from shared memory for mine^2 products; rows are padded to an
/// odd length, so that they begin in different banks.
template <class T>
__global__ void gram_kernel(int64_t groups, int64_t columns, int64_t pairs, int64_t slab,
                            const T* x, double* parts) {
  MINNOW_SHARED(T, a, [tile][tile + 1]);
  MINNOW_SHARED(T, b, [tile][tile + 1]);
  const TilePair pair = tile_pair(blockIdx.x % pairs);
  const int64_t first = blockIdx.x / pairs * slab, last = min(first + slab, columns);
  const int i = static_cast<int>(threadIdx.x) / (tile / mine) * mine;
  const int j = static_cast<int>(threadIdx.x) % (tile / mine) * mine;
  double total[mine][mine] = {};
  for (int64_t run = first; run < last; run += flush) {
    T sum[mine][mine] = {};
    for (int64_t begin = run; begin < min(run + flush, last); begin += tile) {
      load_tile(groups, columns, pair.row * tile, begin, x, a);
      load_tile(groups, columns, pair.column * tile, begin, x, b);
      __syncthreads();
      MINNOW_UNROLL_BY(4)
      for (int k = 0; k < tile; ++k) {
        MINNOW_UNROLL
        for (int p = 0; p < mine; ++p) {
          MINNOW_UNROLL
          for (int q = 0; q < mine; ++q) sum[p][q] += a[i + p][k] * b[j + q][k];
        }
      }
      __syncthreads();
    }
    MINNOW_UNROLL
    for (int p = 0; p < mine; ++p) {
      MINNOW_UNROLL
      for (int q = 0; q < mine; ++q) total[p][q] += static_cast<double>(sum[p][q]);
    }
  }
  double* const to = parts + int64_t{blockIdx.x} * tile * tile;
  MINNOW_UNROLL
  for (int p = 0; p < mine; ++p) {
    MINNOW_UNROLL
    for (int q = 0; q < mine; ++q) to[(i + p) * tile + j + q] = total[p][q];
  }
}

/// Adds up the slabs, in their order, into products and their mirror images: a block for each pair
/// of tiles, a thread for every few elements of it.
__global__ void gram_total_kernel(int64_t groups, int64_t pairs, int64_t slabs, const double* parts,
                                  double* products) {
  const TilePair pair = tile_pair(blockIdx.x);
  for (int e = static_cast<int>(threadIdx.x); e < tile * tile; e += block_threads) {
    const int64_t i = pair.row * tile + e / tile, j = pair.column * tile + e % tile;
    if (i >= groups || j >= groups) continue;
    double sum = 0;
    MINNOW_UNROLL_BY(8)
    for (int64_t s = 0; s < slabs; ++s) sum += parts[(s * pairs + blockIdx.x) * tile * tile + e];
    products[i * groups + j] += sum;
    if (pair.row != pair.column) products[j * groups + i] += sum;
  }
}

}  // namespace

template <class T>
void gram(int64_t groups, int64_t n, const T* x, double* products) {
  if (groups == 0 || n == 0) return;
  const int64_t tiles = ceil_div(groups, tile), pairs = tiles * (tiles + 1) / 2;
  // Enough slabs for any device; their number depends on sizes alone, so that two devices add in
  // the same order.
  const int64_t wanted = std::clamp<int64_t>(2048 / pairs, 1, ceil_div(n, flush));
  const int64_t slab = ceil_div(ceil_div(n, wanted), flush) * flush, slabs = ceil_div(n, slab);
  const Scratch parts(slabs * pairs * tile * tile * int64_t{sizeof(double)});
  MINNOW_LAUNCH(static_cast<unsigned>(slabs * pairs), tile_threads, 0, gram_kernel<T>, groups, n,
                pairs, slab, x, parts.as<double>());
  MINNOW_LAUNCH(static_cast<unsigned>(pairs), block_threads, 0, gram_total_kernel, groups, pairs,
                slabs, parts.as<double>(), products);
}

#define MINNOW_INSTANTIATE(T)                                                      \
  template void rescaled_sum<T>(int64_t, int64_t, const T*, const double*, T, T*); \
  template void gram<T>(int64_t, int64_t, const T*, double*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
