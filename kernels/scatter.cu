#include <algorithm>
#include <utility>

#include "kernels/device.h"
#include "kernels/reduce.h"
#include "kernels/scatter.h"

/// Rows of equal id are brought together by sorting, so that a block owns a row of the table and
/// adds up in the order of the rows, with no atomic operation and in time that does not depend on
/// the size of the table. Sorting R rows takes O(R log^2 R) steps in 1 + log2(R / 256) launches and
/// moves some 40 bytes a row in each. A block reads all rows of one id: where one id has m of the
/// rows, its loads are m / 8 rounds, one after another.
namespace minnow::cuda {
namespace {

/// A row and where it goes: its group in the upper half of `key`, its id in the lower. No two are
/// equal.
struct alignas(16) Entry {
  uint64_t key;
  int64_t row;
};
__device__ bool operator<(const Entry& a, const Entry& b) {
  return a.key < b.key || (a.key == b.key && a.row < b.row);
}

/// The entries of rows first .. first + count, each run of block_threads sorted: an entry's place
/// is the number of those that are less. With bounds null all rows are of group 0.
__global__ void sort_tiles_kernel(int64_t first, int64_t count, int64_t groups,
                                  const int64_t* bounds, const int64_t* ids, Entry* sorted) {
  MINNOW_SHARED(Entry, tile, [block_threads]);
  const int64_t begin = int64_t{blockIdx.x} * block_threads;
  const int here = static_cast<int>(min(int64_t{block_threads}, count - begin));
  const int mine = static_cast<int>(threadIdx.x);
  if (mine < here) {
    const int64_t row = first + begin + mine;
    const int64_t group = bounds == nullptr ? 0 : segment_of(row, groups, bounds);
    tile[mine] = {static_cast<uint64_t>(group) << 32 | static_cast<uint32_t>(ids[row]), row};
  }
  __syncthreads();
  if (mine >= here) return;
  int rank = 0;
  for (int i = 0; i < here; ++i) rank += tile[i] < tile[mine] ? 1 : 0;
  sorted[begin + rank] = tile[mine];
}

/// Merges pairs of sorted runs of `length`: an entry moves to its place in its own run plus its
/// place in the other, which a binary search finds.
__global__ void merge_runs_kernel(int64_t count, int64_t length, const Entry* from, Entry* to) {
  for (int64_t i = grid_thread(); i < count; i += grid_threads()) {
    const Entry mine = from[i];
    const int64_t run = i / length;
    const int64_t other = min(count, (run ^ 1) * length);
    int64_t low = other, high = min(count, other + length);
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (from[middle] < mine) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    to[run / 2 * 2 * length + i % length + (low - other)] = mine;
  }
}

/// Rows first .. first + count by (group, id, row).
class SortedRows {
 public:
  SortedRows(int64_t first, int64_t count, int64_t groups, const int64_t* bounds,
             const int64_t* ids)
      : memory_(count * int64_t{sizeof(Entry)}), other_memory_(count * int64_t{sizeof(Entry)}) {
    entries_ = memory_.as<Entry>();
    Entry* other = other_memory_.as<Entry>();
    const auto tiles = static_cast<unsigned>(ceil_div(count, block_threads));
    MINNOW_LAUNCH(tiles, block_threads, 0, sort_tiles_kernel, first, count, groups, bounds, ids,
                  entries_);
    for (int64_t length = block_threads; length < count; length *= 2) {
      MINNOW_LAUNCH(grid_for(count), block_threads, 0, merge_runs_kernel, count, length, entries_,
                    other);
      std::swap(entries_, other);
    }
  }
  const Entry* entries() const { return entries_; }

 private:
  Scratch memory_, other_memory_;
  Entry* entries_;
};

struct EveryRow {
  __device__ int operator()(int64_t) const { return 1; }
};
struct WeightOfGroup {
  int64_t groups;
  const int64_t* bounds;
  const double* c;
  __device__ double operator()(int64_t row) const { return c[segment_of(row, groups, bounds)]; }
};

/// The end of the run of equal keys that begins at entry i.
__device__ int64_t run_end(int64_t i, int64_t count, const Entry* entries) {
  int64_t low = i + 1, high = count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (entries[middle].key == entries[i].key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Adds every row to its row of the tables. Reads sizeof(T) bytes an element of g and reads and
/// writes a row of a table once for each id that occurs; 2 flops an element: bound by memory. A
/// block has the entry with which an id begins, its threads a run of columns each.
template <class T, int n, class Weight>
__global__ void add_to_tables_kernel(int64_t count, const Entry* entries, int64_t vocabulary,
                                     int64_t width, const T* g, Weight weight, Wide<T>* tables) {
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const uint64_t key = entries[i].key;
    if (i > 0 && entries[i - 1].key == key) continue;
    const int64_t end = run_end(i, count, entries);
    const auto group = static_cast<int64_t>(key >> 32), id = static_cast<int64_t>(key & 0xffffffff);
    if (id >= vocabulary) continue;  // not in the table: its row of the forward pass was NaN
    Wide<T>* const row = tables + (group * vocabulary + id) * width;
    for (int64_t column = threadIdx.x * n; column < width; column += blockDim.x * n) {
      Run<Wide<T>, n> sum = load_run<n>(row + column);
      const auto from = [=](int64_t e) { return g + entries[e].row * width + column; };
      const auto weight_of = [=](int64_t e) { return weight(entries[e].row); };
      add_rows<n>(i, end, 1, from, weight_of, sum);
      store_run(row + column, sum);
    }
  }
}

/// sumsq[i] = the sum of squares of the sum of all rows of the id that begins at entry i, and 0
/// where none begins. The same layout; a thread adds up few squares (width / blockDim) in T.
template <class T, int n>
__global__ void run_sumsq_kernel(int64_t count, const Entry* entries, int64_t width, const T* g,
                                 double* sumsq) {
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const bool begins = i == 0 || entries[i - 1].key != entries[i].key;
    Wide<T> squares = 0;
    if (begins) {
      const int64_t end = run_end(i, count, entries);
      for (int64_t column = threadIdx.x * n; column < width; column += blockDim.x * n) {
        Run<Wide<T>, n> sum = {};
        const auto from = [=](int64_t e) { return g + entries[e].row * width + column; };
        add_rows<n>(i, end, 1, from, EveryRow{}, sum);
        for (int k = 0; k < n; ++k) squares += sum.v[k] * sum.v[k];
      }
    }
    const double total = begins ? block_sum(static_cast<double>(squares)) : 0;
    if (threadIdx.x == 0) sumsq[i] = total;
  }
}

/// Threads that have a run of n columns each, in whole warps.
int threads_for(int64_t width, int n) {
  const int64_t warps = ceil_div(width, int64_t{n} * warp_lanes);
  return static_cast<int>(std::clamp<int64_t>(warps * warp_lanes, warp_lanes, block_threads));
}

template <class W>
struct Times {
  W factor;
  __device__ W operator()(W x) const { return factor * x; }
};

/// x *= beta, with 0 whatever x held.
template <class W>
void scale(int64_t n, W beta, W* x) {
  if (beta == W(0)) {
    zero_on_device(x, n * int64_t{sizeof(W)});
  } else if (beta != W(1)) {
    map(n, Times<W>{beta}, x, x);
  }
}

template <class T, class Weight>
void add_to_tables(int64_t count, const SortedRows& rows, int64_t vocabulary, int64_t width,
                   const T* g, Weight weight, Wide<T>* tables) {
  const Entry* const entries = rows.entries();
  const auto start = [=](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(grid_for(count, 1), threads_for(width, n), 0, add_to_tables_kernel<T, n, Weight>,
                  count, entries, vocabulary, width, g, weight, tables);
  };
  with_runs<Pack<T>::size>(width, start, g, tables);
}

int64_t rows_of(const Segments& s) {
  return s.groups == 0 ? 0 : s.bounds[s.groups] - s.bounds[0];
}

}  // namespace

template <class T>
void scatter_group_sums(const Segments& segments, int64_t vocabulary, int64_t width,
                        const int64_t* ids, const T* g, Wide<T> beta, Wide<T>* sums,
                        double* sumsq) {
  const int64_t groups = segments.groups, count = rows_of(segments), table = vocabulary * width;
  scale(groups * table, beta, sums);
  if (count > 0) {
    const SortedRows rows(segments.bounds[0], count, groups, segments.device_bounds, ids);
    add_to_tables(count, rows, vocabulary, width, g, EveryRow{}, sums);
  }
  if (sumsq != nullptr) row_sumsq(groups, table, sums, sumsq);
}

template <class T>
void scatter_group_sumsq(const Segments& segments, int64_t width, const int64_t* ids, const T* g,
                         double* sumsq) {
  const int64_t groups = segments.groups, count = rows_of(segments);
  if (count == 0) return zero_on_device(sumsq, groups * int64_t{sizeof(double)});
  const int64_t first = segments.bounds[0];
  const SortedRows rows(first, count, groups, segments.device_bounds, ids);
  const Entry* const entries = rows.entries();
  const Scratch parts(count * int64_t{sizeof(double)});
  const auto start = [=, sums = parts.as<double>()](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(grid_for(count, 1), threads_for(width, n), 0, run_sumsq_kernel<T, n>, count,
                  entries, width, g, sums);
  };
  with_runs<Pack<T>::size>(width, start, g);
  // Entries lie in the order of groups: those of group j are bounds[j] - first .. bounds[j + 1] -
  // first.
  segment_sums<double>(segments, 1, parts.as<double>() - first, 0, sumsq, nullptr);
}

template <class T>
void scatter_weighted_sum(const Segments& segments, int64_t vocabulary, int64_t width,
                          const int64_t* ids, const T* g, const double* c, Wide<T> beta,
                          Wide<T>* sum) {
  const int64_t count = rows_of(segments);
  scale(vocabulary * width, beta, sum);
  if (count == 0) return;
  const SortedRows rows(segments.bounds[0], count, 1, nullptr, ids);
  if (c == nullptr) {
    add_to_tables(count, rows, vocabulary, width, g, EveryRow{}, sum);
  } else {
    const WeightOfGroup weight{segments.groups, segments.device_bounds, c};
    add_to_tables(count, rows, vocabulary, width, g, weight, sum);
  }
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void scatter_group_sums<T>(const Segments&, int64_t, int64_t, const int64_t*, const T*, \
                                      Wide<T>, Wide<T>*, double*);                                 \
  template void scatter_group_sumsq<T>(const Segments&, int64_t, const int64_t*, const T*,         \
                                       double*);                                                   \
  template void scatter_weighted_sum<T>(const Segments&, int64_t, int64_t, const int64_t*,         \
                                        const T*, const double*, Wide<T>, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
