#include <algorithm>

#include "kernels/device.h"
#include "kernels/gemm.h"
#include "kernels/outer.h"
#include "kernels/reduce.h"

namespace minnow::cuda {
namespace {

/// A block's share of G^T A: `tile` outputs by `tile` inputs, each thread a square of `own` by
/// `own`, with `depth` rows of A and G in shared memory at a time.
constexpr int tile = 64, own = 4, depth = 16;
constexpr int tile_threads = (tile / own) * (tile / own);
static_assert(tile_threads == block_threads && depth * tile == block_threads * own);

/// This thread's four neighbours of the `depth` rows by `tile` columns of x [rows, width] that
/// begin at `first_row` and `first`; 0 outside. They move in runs of n.
template <int n, class T>
__device__ Run<T, own> fetch(int64_t rows, int64_t width, const T* x, int64_t first_row,
                             int64_t first) {
  const int64_t row = first_row + threadIdx.x / (tile / own);
  const int64_t column = first + threadIdx.x % (tile / own) * own;
  const T* from = x + row * width + column;
  Run<T, own> quad = {};
  if (row >= rows) return quad;
  if constexpr (n == own) {
    if (column < width) quad = load_run<own>(from);
  } else {
    for (int i = 0; i < own; ++i) {
      if (column + i < width) quad.v[i] = from[i];
    }
  }
  return quad;
}

/// Puts them where the block sees them.
template <class T>
__device__ void share(const Run<T, own>& quad, Run<Wide<T>, own> (&to)[depth][tile / own]) {
  Run<Wide<T>, own> wide;
  for (int i = 0; i < own; ++i) wide.v[i] = widen(quad.v[i]);
  to[threadIdx.x / (tile / own)][threadIdx.x % (tile / own)] = wide;
}

/// The sum of squares of one tile of G^T A, for A [rows, in] and G [rows, out]; every thread of the
/// block calls it and gets it. While the block multiplies `depth` rows, its threads already hold
/// the next ones in registers.
///
/// 2 * tile^2 * rows flops on 2 * tile * rows elements read from memory (of A and G of all tiles
/// of a group, most are found in the second-level cache); from shared memory each thread reads 8
/// numbers for 16 multiply-adds.
template <int n, class T>
__device__ double tile_sumsq(int64_t rows, int64_t in, int64_t out, const T* a, const T* g,
                             int64_t first_in, int64_t first_out) {
  using Four = Run<Wide<T>, own>;
  MINNOW_SHARED(Four, a_rows, [depth][tile / own]);
  MINNOW_SHARED(Four, g_rows, [depth][tile / own]);
  const int across = static_cast<int>(threadIdx.x) % (tile / own);
  const int down = static_cast<int>(threadIdx.x) / (tile / own);
  Wide<T> product[own][own] = {};
  Run<T, own> next_a = fetch<n>(rows, in, a, 0, first_in);
  Run<T, own> next_g = fetch<n>(rows, out, g, 0, first_out);
  for (int64_t r = 0; r < rows; r += depth) {
    share(next_a, a_rows);
    share(next_g, g_rows);
    __syncthreads();
    next_a = fetch<n>(rows, in, a, r + depth, first_in);
    next_g = fetch<n>(rows, out, g, r + depth, first_out);
    for (int k = 0; k < depth; ++k) {
      const Four ak = a_rows[k][across], gk = g_rows[k][down];
      for (int o = 0; o < own; ++o) {
        for (int i = 0; i < own; ++i) product[o][i] += gk.v[o] * ak.v[i];
      }
    }
    __syncthreads();  // the next rows take these rows' place
  }
  Wide<T> mine = 0;
  for (int o = 0; o < own; ++o) {
    for (int i = 0; i < own; ++i) mine += product[o][i] * product[o][i];
  }
  return block_sum(static_cast<double>(mine));
}

/// The sum of squares of one row; every thread of the block gets it.
template <class T>
__device__ double row_squares(int64_t width, const T* x) {
  double total = 0;
  for (int64_t first = threadIdx.x; first < width; first += int64_t{1024} * blockDim.x) {
    Wide<T> run = 0;
    const int64_t end = std::min(width, first + int64_t{1024} * blockDim.x);
    for (int64_t i = first; i < end; i += blockDim.x) run += widen(x[i]) * widen(x[i]);
    total += run;
  }
  return block_sum(total);
}

/// parts[j * tiles + t] = the sum of squares of tile t of group j's G_j^T A_j, of which nothing
/// else is kept: `rows * in * out * 2` flops for all groups together, and as memory traffic A and G
/// once (the tiles of a group run at about the same time, and share them through the second-level
/// cache) and 8 bytes a tile. A group of one row is |a|^2 |g|^2, and is all done by its first tile;
/// an empty one is 0.
///
/// One block a tile, the tiles of a group one after the other. tile_sumsq is all that a version for
/// tensor cores would replace.
template <int n, class T>
__global__ void group_tiles_kernel(int64_t groups, const int64_t* bounds, int64_t tiles,
                                   int64_t tiles_in, int64_t in, int64_t out, const T* a,
                                   const T* g, double* parts) {
  for (int64_t i = blockIdx.x; i < groups * tiles; i += gridDim.x) {
    const int64_t j = i / tiles, t = i % tiles;
    const int64_t rows = bounds[j + 1] - bounds[j];
    const T *aj = a + bounds[j] * in, *gj = g + bounds[j] * out;
    double part = 0;
    if (rows > 1) {
      part = tile_sumsq<n>(rows, in, out, aj, gj, t % tiles_in * tile, t / tiles_in * tile);
    } else if (rows == 1 && t == 0) {
      part = row_squares(in, aj) * row_squares(out, gj);
    }
    if (threadIdx.x == 0) parts[i] = part;
  }
}

/// sumsq[j] = the sum of row j of parts [groups, tiles]; a warp a group. Reads 8 bytes a tile.
__global__ void add_tiles_kernel(int64_t groups, int64_t tiles, const double* parts,
                                 double* sumsq) {
  for (int64_t j = team_first<warp_lanes>(); j < groups; j += team_step<warp_lanes>()) {
    double sum = 0;
    for (int64_t t = threadIdx.x % warp_lanes; t < tiles; t += warp_lanes) {
      sum += parts[j * tiles + t];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % warp_lanes == 0) sumsq[j] = sum;
  }
}

/// scaled[r - begin] = c of r's group times a[r] for the rows begin .. end. Where c is 0, a is not
/// read, `scaled` is 0, and what is not finite in g[r] becomes 0.
///
/// A warp a row, which finds its group once and takes A in runs of n; reads and writes each element
/// of A once, the rows of G only where c is 0.
template <int n, class T>
__global__ void weigh_rows_kernel(int64_t begin, int64_t end, int64_t in, int64_t out,
                                  int64_t groups, const int64_t* bounds, const double* c,
                                  const T* a, T* g, T* scaled) {
  const int64_t first = begin + team_first<warp_lanes>();
  for (int64_t r = first; r < end; r += team_step<warp_lanes>()) {
    const auto weight = static_cast<Wide<T>>(c[segment_of(r, groups, bounds)]);
    each_run<n, warp_lanes>(in, [=](int64_t i) {
      Run<Wide<T>, n> run = {};
      if (weight != 0) run = load_wide<n>(a + r * in + i);
      for (int k = 0; k < n; ++k) run.v[k] *= weight;
      store_narrow(scaled + (r - begin) * in + i, run);
    });
    if (weight != 0) continue;
    each_run<1, warp_lanes>(out, [=](int64_t i) {
      const Wide<T> x = widen(g[r * out + i]);
      if (x - x != 0) g[r * out + i] = narrow<T>(0);  // infinity, or NaN
    });
  }
}

constexpr int64_t warps_a_block = block_threads / warp_lanes;

}  // namespace

template <class T>
void outer_sum(int64_t rows, int64_t in, int64_t out, const T* a, const T* g, Wide<T> beta,
               Wide<T>* sum) {
  gemm(Op::transpose, Op::none, out, in, rows, Wide<T>(1), g, out, a, in, beta, sum, in);
}

/// 2 rows in out flops; a batched product for each run of groups of the same size, which usually
/// means one for all.
template <class T>
void outer_group_sums(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                      Wide<T> beta, Wide<T>* sums, double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  const auto rows_of = [=](int64_t j) { return bounds[j + 1] - bounds[j]; };
  for (int64_t j = 0; j < groups;) {
    const int64_t rows = rows_of(j);
    int64_t end = j + 1;
    while (end < groups && rows_of(end) == rows) ++end;
    gemm_batched(end - j, Op::transpose, Op::none, out, in, rows, Wide<T>(1), g + bounds[j] * out,
                 out, rows * out, a + bounds[j] * in, in, rows * in, beta, sums + j * in * out, in,
                 in * out);
    j = end;
  }
  if (sumsq != nullptr) row_sumsq(groups, in * out, sums, sumsq);
}

template <class T>
void outer_group_sumsq(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                       double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  int64_t most = 0;
  for (int64_t j = 0; j < groups; ++j) most = std::max(most, bounds[j + 1] - bounds[j]);
  // Where no group has more than one row, the first tiles do everything.
  const int64_t tiles_in = most <= 1 ? 1 : ceil_div(in, tile);
  const int64_t tiles = most <= 1 ? 1 : tiles_in * ceil_div(out, tile);
  const Scratch parts(groups * tiles * static_cast<int64_t>(sizeof(double)));
  const auto grid = static_cast<unsigned>(std::min<int64_t>(groups * tiles, INT32_MAX));
  const auto start = [&](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(grid, block_threads, 0, group_tiles_kernel<n, T>, groups, segments.device_bounds,
                  tiles, tiles_in, in, out, a, g, parts.as<double>());
  };
  with_runs<own>(in | out, start, a, g);  // both widths, that is
  MINNOW_LAUNCH(grid_for(groups, warps_a_block), block_threads, 0, add_tiles_kernel, groups, tiles,
                parts.as<double>(), sumsq);
}

template <class T>
void outer_weighted_sum(const Segments& segments, int64_t in, int64_t out, const T* a, T* g,
                        const double* c, Wide<T> beta, Wide<T>* sum) {
  const int64_t first = segments.groups == 0 ? 0 : segments.bounds[0];
  const int64_t end = segments.groups == 0 ? 0 : segments.bounds[segments.groups];
  const auto row_bytes = std::max<int64_t>(in * static_cast<int64_t>(sizeof(T)), 1);
  // As many rows as scratch memory has room for; all of them, as a rule.
  constexpr int64_t most_bytes = int64_t{256} << 20;
  const int64_t block =
      std::clamp<int64_t>(most_bytes / row_bytes, 1, std::max(end - first, int64_t{1}));
  const Scratch scaled(block * row_bytes);
  for (int64_t r = first; r == first || r < end; r += block) {
    const int64_t rows = std::min(block, end - r);
    const auto weigh = [&](auto run) {
      constexpr int n = run;
      MINNOW_LAUNCH(grid_for(rows, warps_a_block), block_threads, 0, weigh_rows_kernel<n, T>, r,
                    r + rows, in, out, segments.groups, segments.device_bounds, c, a, g,
                    scaled.as<T>());
    };
    with_runs<Pack<T>::size>(in, weigh, a);
    outer_sum(rows, in, out, scaled.as<T>(), g + r * out, r == first ? beta : Wide<T>(1), sum);
  }
}

#define MINNOW_INSTANTIATE(T)                                                                   \
  template void outer_sum<T>(int64_t, int64_t, int64_t, const T*, const T*, Wide<T>, Wide<T>*); \
  template void outer_group_sums<T>(const Segments&, int64_t, int64_t, const T*, const T*,      \
                                    Wide<T>, Wide<T>*, double*);                                \
  template void outer_group_sumsq<T>(const Segments&, int64_t, int64_t, const T*, const T*,     \
                                     double*);                                                  \
  template void outer_weighted_sum<T>(const Segments&, int64_t, int64_t, const T*, T*,          \
                                      const double*, Wide<T>, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
