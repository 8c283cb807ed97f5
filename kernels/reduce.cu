#include <algorithm>

#include "kernels/device.h"
#include "kernels/reduce.h"

namespace minnow::cuda {
namespace {

/// Reads sizeof(T) bytes an element and does 2 flops on it: bound by memory. sumsq [rows * pieces]:
/// a team has a piece of a row (the whole row where it is short). A thread adds up at most 64
/// squares in T; beyond that everything is float64.
template <class T, int n, int team>
__global__ void row_sumsq_kernel(int64_t rows, int64_t width, int64_t pieces, int64_t piece,
                                 const T* x, double* sumsq) {
  for (int64_t p = team_first<team>(); p < rows * pieces; p += team_step<team>()) {
    const int64_t first = p % pieces * piece;
    const T* from = x + p / pieces * width + first;
    Wide<T> sum = 0;
    each_run<n, team>(min(piece, width - first), [&](int64_t i) {
      const Run<Wide<T>, n> in = load_wide<n>(from + i);
      for (int k = 0; k < n; ++k) sum += in.v[k] * in.v[k];
    });
    const double total = team_sum<team>(static_cast<double>(sum));
    if (threadIdx.x % team == 0) sumsq[p] = total;
  }
}

/// sums[r] = the sum of row r of parts [rows, width].
template <int team>
__global__ void row_total_kernel(int64_t rows, int64_t width, const double* parts, double* sums) {
  for (int64_t r = team_first<team>(); r < rows; r += team_step<team>()) {
    double sum = 0;
    each_run<1, team>(width, [&](int64_t i) { sum += parts[r * width + i]; });
    sum = team_sum<team>(sum);
    if (threadIdx.x % team == 0) sums[r] = sum;
  }
}

}  // namespace

template <class T>
void row_sumsq(int64_t rows, int64_t n, const T* x, double* sumsq) {
  constexpr int64_t piece = 64 * block_threads;
  const int64_t pieces = std::max<int64_t>(1, ceil_div(n, piece));
  const Scratch scratch(pieces > 1 ? rows * pieces * int64_t{sizeof(double)} : 0);
  double* const parts = pieces > 1 ? scratch.as<double>() : sumsq;
  const auto start = [=](auto run, auto team, unsigned grid) {
    constexpr int size = run, lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, row_sumsq_kernel<T, size, lanes>, rows, n, pieces, piece,
                  x, parts);
  };
  with_teams<T>(rows * pieces, n, start, x);
  if (pieces == 1) return;
  const auto add = [=](auto, auto team, unsigned grid) {
    constexpr int lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, row_total_kernel<lanes>, rows, pieces, parts, sumsq);
  };
  with_teams<double>(rows, pieces, add);
}

namespace {

/// The rows of each group: those between its bounds or, where bounds is null, `each` apiece from
/// row `first` on.
struct RowGroups {
  int64_t groups;
  const int64_t* bounds;
  int64_t first, each;
  __device__ int64_t begin(int64_t j) const {
    return bounds != nullptr ? bounds[j] : first + j * each;
  }
};

struct EveryRow {
  __device__ void start(int64_t) {}
  __device__ int operator()(int64_t) { return 1; }
};

/// The weights of ever later rows.
struct WeightOfGroup {
  int64_t groups;
  const int64_t* bounds;
  const double* c;
  int64_t group;
  __device__ void start(int64_t row) { group = segment_of(row, groups, bounds); }
  __device__ double operator()(int64_t row) {
    while (row >= bounds[group + 1]) ++group;
    return c[group];
  }
};

/// How sums down the columns are shared out. A block has `across` threads beside each other, one
/// for each run of columns of its strip, and block_threads / across below each other, which take
/// turns at the rows; a group's rows are cut into `chunks` equal parts.
struct Share {
  int across;
  int64_t strips, chunks;
};

Share share_of(int64_t groups, int64_t longest, int64_t runs) {
  Share share{1, 1, 1};
  while (share.across < warp_lanes && share.across < runs) share.across *= 2;
  share.strips = ceil_div(runs, share.across);
  // Enough blocks for any device, as long as a thread still has 16 rows to add up. The number
  // depends on sizes alone, so that two devices add in the same order.
  const int64_t wanted = 512 / std::max<int64_t>(1, groups * share.strips);
  const int64_t useful = ceil_div(longest, int64_t{16} * block_threads / share.across);
  share.chunks = std::max<int64_t>(1, std::min(wanted, useful));
  return share;
}

/// sums [groups, chunks, width] = sum of weight(r) x[r, :] over the rows r of a chunk, plus beta *
/// sums. Reads sizeof(T) bytes an element and does 2 flops on it: bound by memory. Narrow arrays
/// have few threads across, so that a warp reads neighbouring rows in one go.
template <class T, int n, class Weight>
__global__ void column_sums_kernel(RowGroups rows, Share share, int64_t width, const T* x,
                                   Weight weight, Wide<T> beta, Wide<T>* sums) {
  using W = Wide<T>;
  using Sums = Run<W, n>;
  MINNOW_SHARED(Sums, partial, [block_threads]);
  const int across = share.across, deep = block_threads / across;
  const int lane = threadIdx.x % across, depth = threadIdx.x / across;
  const int64_t strip = blockIdx.x % share.strips, chunk = blockIdx.x / share.strips;
  const int64_t j = chunk / share.chunks, k = chunk % share.chunks;
  const int64_t column = (strip * across + lane) * n;
  const int64_t first = rows.begin(j), count = rows.begin(j + 1) - first;
  const int64_t begin = first + count * k / share.chunks + depth;
  const int64_t end = first + count * (k + 1) / share.chunks;
  Sums sum = {};
  if (column < width && begin < end) {
    weight.start(begin);
    const auto row = [=](int64_t r) { return x + r * width + column; };
    add_rows<n>(
        begin, end, deep, row, [&](int64_t r) { return weight(r); }, sum);
  }
  partial[threadIdx.x] = sum;
  for (int half = deep / 2; half > 0; half /= 2) {
    __syncthreads();
    if (depth >= half) continue;
    const Sums other = partial[threadIdx.x + half * across];
    for (int i = 0; i < n; ++i) sum.v[i] += other.v[i];
    partial[threadIdx.x] = sum;
  }
  if (depth > 0 || column >= width) return;
  W* const to = sums + chunk * width + column;
  if (beta != W(0)) {
    const Sums before = load_run<n>(to);
    for (int i = 0; i < n; ++i) sum.v[i] += beta * before.v[i];
  }
  store_run(to, sum);
}

/// sums [groups, width], of which no group has more than `longest` rows. Where the groups' rows are
/// cut into chunks, the sums over chunks are rows of a smaller array of the same kind.
template <class T, class Weight>
void column_sums(RowGroups rows, int64_t longest, int64_t width, const T* x, Weight weight,
                 Wide<T> beta, Wide<T>* sums) {
  using W = Wide<T>;
  const auto start = [=](auto run) {
    constexpr int n = run;
    const Share share = share_of(rows.groups, longest, width / n);
    const int64_t chunks = rows.groups * share.chunks;
    const bool last = share.chunks == 1;
    const Scratch parts(last ? 0 : chunks * width * int64_t{sizeof(W)});
    const auto grid = static_cast<unsigned>(chunks * share.strips);
    MINNOW_LAUNCH(grid, block_threads, 0, column_sums_kernel<T, n, Weight>, rows, share, width, x,
                  weight, last ? beta : W(0), last ? sums : parts.template as<W>());
    if (last) return;
    const RowGroups pieces{rows.groups, nullptr, 0, share.chunks};
    column_sums<W>(pieces, share.chunks, width, parts.template as<W>(), EveryRow{}, beta, sums);
  };
  with_runs<Pack<T>::size>(width, start, x, sums);
}

}  // namespace

template <class T>
void segment_sums(const Segments& segments, int64_t width, const T* x, Wide<T> beta, Wide<T>* sums,
                  double* sumsq) {
  const int64_t groups = segments.groups, *bounds = segments.bounds;
  int64_t longest = 0;
  for (int64_t j = 0; j < groups; ++j) longest = std::max(longest, bounds[j + 1] - bounds[j]);
  const RowGroups rows{groups, segments.device_bounds, 0, 0};
  column_sums(rows, longest, width, x, EveryRow{}, beta, sums);
  if (sumsq != nullptr) row_sumsq(groups, width, sums, sumsq);
}

template <class T>
void weighted_row_sum(const Segments& segments, int64_t width, const T* x, const double* c,
                      Wide<T> beta, Wide<T>* sum) {
  const int64_t groups = segments.groups, first = groups == 0 ? 0 : segments.bounds[0];
  const int64_t count = groups == 0 ? 0 : segments.bounds[groups] - first;
  const RowGroups all{1, nullptr, first, count};
  if (c == nullptr) {
    column_sums(all, count, width, x, EveryRow{}, beta, sum);
  } else {
    const WeightOfGroup weight{groups, segments.device_bounds, c, 0};
    column_sums(all, count, width, x, weight, beta, sum);
  }
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void row_sumsq<T>(int64_t, int64_t, const T*, double*);                               \
  template void segment_sums<T>(const Segments&, int64_t, const T*, Wide<T>, Wide<T>*, double*); \
  template void weighted_row_sum<T>(const Segments&, int64_t, const T*, const double*, Wide<T>,  \
                                    Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
