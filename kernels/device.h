#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/bfloat16.h"
#include "kernels/cuda.h"
#include "kernels/runtime.h"

/// Before a loop whose body indexes an array in registers: only an unrolled loop keeps it there.
/// nvcc unrolls small bodies unasked.
#ifdef __CUDACC__
#define MINNOW_UNROLL _Pragma("unroll")
#define MINNOW_PRAGMA(text) _Pragma(#text)
/// Before a loop whose loads should be under way together, n turns of it.
#define MINNOW_UNROLL_BY(n) MINNOW_PRAGMA(unroll n)
#else
#define MINNOW_UNROLL
#define MINNOW_UNROLL_BY(n)
#endif

/// What the kernels of the .cu files share: sizes of grids, 16-byte loads, sums over warps and
/// blocks. Every sum has one fixed order, so that two runs give the same bits.
namespace minnow::cuda {

inline constexpr int warp_lanes = 32;
inline constexpr unsigned every_lane = 0xffffffffu;
/// Threads of a block where nothing speaks for another number.
inline constexpr int block_threads = 256;

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Blocks for `work` pieces of which each block takes `per_block` at a time in a grid-stride loop:
/// no more than keep the device full (eight blocks a multiprocessor, and a few rounds of them to
/// even out).
inline unsigned grid_for(int64_t work, int64_t per_block = block_threads) {
  const int64_t most = int64_t{32} * device_info().multiprocessors;
  return static_cast<unsigned>(std::min(ceil_div(work, per_block), most));
}

/// This thread's place in the grid, and the number of threads of it: a grid-stride loop is
/// for (int64_t i = grid_thread(); i < n; i += grid_threads()).
__device__ inline int64_t grid_thread() {
  return int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ inline int64_t grid_threads() {
  return int64_t{gridDim.x} * blockDim.x;
}

/// As many elements as one 16-byte load brings.
template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};
template <class T>
__device__ inline Pack<T> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T>*>(from);
}
template <class T>
__device__ inline void store_pack(T* to, const Pack<T>& pack) {
  *reinterpret_cast<Pack<T>*>(to) = pack;
}
/// Whether rows of `width` elements from each of these places can be read in packs. A null pointer
/// does not matter.
template <class T, class... P>
bool packs(int64_t width, const P*... from) {
  return width % Pack<T>::size == 0 && ((reinterpret_cast<uintptr_t>(from) % 16 == 0) && ...);
}

/// Every lane gets the sum (the largest) of the values of the warp's 32 lanes, which all call it.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int step = warp_lanes / 2; step > 0; step /= 2) {
    value += __shfl_xor_sync(every_lane, value, step);
  }
  return value;
}
template <class T>
__device__ inline T warp_max(T value) {
  for (int step = warp_lanes / 2; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(every_lane, value, step);
    value = other > value ? other : value;
  }
  return value;
}

/// Every thread gets the sum (the largest) over the block, whose size is a multiple of 32 and whose
/// threads all call it.
template <class T>
__device__ inline T block_sum(T value) {
  MINNOW_SHARED(T, partial, [warp_lanes]);
  value = warp_sum(value);
  const int warps = static_cast<int>(blockDim.x) / warp_lanes;
  if (threadIdx.x % warp_lanes == 0) partial[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  T total = 0;
  for (int w = 0; w < warps; ++w) total += partial[w];
  __syncthreads();  // the next call overwrites `partial`
  return total;
}
template <class T>
__device__ inline T block_max(T value) {
  MINNOW_SHARED(T, partial, [warp_lanes]);
  value = warp_max(value);
  const int warps = static_cast<int>(blockDim.x) / warp_lanes;
  if (threadIdx.x % warp_lanes == 0) partial[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  T most = partial[0];
  for (int w = 1; w < warps; ++w) most = partial[w] > most ? partial[w] : most;
  __syncthreads();
  return most;
}

/// n elements that move as one, with 16-byte loads where they have as many bytes: n is
/// Pack<T>::size, or another power of two beside an array of another type, or 1 where width or
/// alignment forbid more. A kernel over runs is written once for all of them.
template <class T, int n>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Run {
  T v[n];
};
template <int n, class T>
__device__ inline Run<T, n> load_run(const T* from) {
  return *reinterpret_cast<const Run<T, n>*>(from);
}
template <class T, int n>
__device__ inline void store_run(T* to, const Run<T, n>& run) {
  *reinterpret_cast<Run<T, n>*>(to) = run;
}
/// Calls f(std::integral_constant<int, n>) with n = `size` where rows of `width` elements from each
/// of these places can be read in runs of so many, otherwise with 1.
template <int size, class F, class... P>
void with_runs(int64_t width, F f, const P*... from) {
  if (width % size == 0 &&
      ((reinterpret_cast<uintptr_t>(from) % alignof(Run<P, size>) == 0) && ...)) {
    f(std::integral_constant<int, size>());
  } else {
    f(std::integral_constant<int, 1>());
  }
}

/// y[i] = f(x1[i], x2[i], ...) in wide arithmetic, n elements a thread in a grid-stride loop; what
/// is left of a number that n does not divide goes one by one. y may be one of the x.
template <int n, class F, class T, class... X>
__device__ inline void map_elements(int64_t count, F f, T* y, const X*... x) {
  const auto piece = [f](const auto&... in) {
    Run<T, n> out;
    for (int k = 0; k < n; ++k) out.v[k] = narrow<T>(f(widen(in.v[k])...));
    return out;
  };
  const int64_t whole = count / n * n;
  for (int64_t i = grid_thread() * n; i < whole; i += grid_threads() * n) {
    store_run(y + i, piece(load_run<n>(x + i)...));
  }
  const int64_t rest = whole + grid_thread();  // fewer than n, which is less than a block
  if (rest < count) y[rest] = narrow<T>(f(widen(x[rest])...));
}
template <int n, class F, class T, class... X>
__global__ void map_kernel(int64_t count, F f, T* y, const X*... x) {
  map_elements<n>(count, f, y, x...);
}

/// How many elements of the widest of these types make 16 bytes.
template <class... T>
inline constexpr int run_of = 16 / static_cast<int>(std::max({sizeof(T)...}));

/// The same over the whole device. F is a struct whose operator() is a const __device__ function.
template <class F, class T, class... X>
void map(int64_t count, F f, T* y, const X*... x) {
  const auto start = [=](auto run) {
    constexpr int n = run;
    const unsigned grid = grid_for(ceil_div(count, n));
    MINNOW_LAUNCH(grid, block_threads, 0, map_kernel<n, F, T, X...>, count, f, y, x...);
  };
  with_runs<run_of<T, X...>>(0, start, y, x...);
}

/// Kernels over rows x columns where each thread owns a column (or a run of them) and walks down
/// the rows: nothing is divided to find an element's place, a warp moves 32 neighbours, and what
/// belongs to a column is read once. Blocks are 32 x 8 threads.
inline constexpr int matrix_rows = 8;
inline constexpr dim3 matrix_block(warp_lanes, matrix_rows);
inline dim3 matrix_grid(int64_t rows, int64_t columns) {
  const int64_t across = ceil_div(columns, warp_lanes), down = ceil_div(rows, matrix_rows);
  const int64_t most = int64_t{32} * device_info().multiprocessors;
  const int64_t room = std::max<int64_t>(1, most / std::max<int64_t>(1, across));
  return {static_cast<unsigned>(across), static_cast<unsigned>(std::min(down, room))};
}
__device__ inline int64_t matrix_column() {
  return int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ inline int64_t matrix_row() {
  return int64_t{blockIdx.y} * blockDim.y + threadIdx.y;
}
__device__ inline int64_t matrix_row_step() {
  return int64_t{gridDim.y} * blockDim.y;
}

/// Kernels over rows that a team shares: the 32 lanes of a warp for short rows, a block of
/// block_threads for long ones. All of a team take the same rows, team_first<team>() and then every
/// team_step<team>().
inline constexpr int64_t team_width = 1024;  ///< the longest row that is left to one warp
template <int team>
__device__ inline int64_t team_first() {
  return grid_thread() / team;
}
template <int team>
__device__ inline int64_t team_step() {
  return grid_threads() / team;
}
template <int team, class T>
__device__ inline T team_sum(T value) {
  if constexpr (team == warp_lanes) {
    return warp_sum(value);
  } else {
    return block_sum(value);
  }
}
template <int team, class T>
__device__ inline T team_max(T value) {
  if constexpr (team == warp_lanes) {
    return warp_max(value);
  } else {
    return block_max(value);
  }
}
/// f(begin) for this thread's share of a row, runs of n that lie one team apart.
template <int n, int team, class F>
__device__ inline void each_run(int64_t width, F f) {
  for (int64_t i = threadIdx.x % team * n; i < width; i += team * n) f(i);
}
/// Calls f(std::integral_constant<int, n>, std::integral_constant<int, team>, grid) as rows of
/// `width` elements of T at these places ask for.
template <class T, class F, class... P>
void with_teams(int64_t rows, int64_t width, F f, const P*... from) {
  const auto start = [=](auto run) {
    if (width <= team_width) {
      const unsigned grid = grid_for(rows, block_threads / warp_lanes);
      f(run, std::integral_constant<int, warp_lanes>(), grid);
    } else {
      f(run, std::integral_constant<int, block_threads>(), grid_for(rows, 1));
    }
  };
  with_runs<Pack<T>::size>(width, start, from...);
}

/// A run in the type that kernels compute in.
template <int n, class T>
__device__ inline Run<Wide<T>, n> load_wide(const T* from) {
  const Run<T, n> run = load_run<n>(from);
  Run<Wide<T>, n> wide;
  for (int k = 0; k < n; ++k) wide.v[k] = widen(run.v[k]);
  return wide;
}
template <int n, class T>
__device__ inline void store_narrow(T* to, const Run<Wide<T>, n>& wide) {
  Run<T, n> run;
  for (int k = 0; k < n; ++k) run.v[k] = narrow<T>(wide.v[k]);
  store_run(to, run);
}
/// The run at from + i, or n times `otherwise` where `from` is null.
template <int n, class T>
__device__ inline Run<T, n> load_or(const T* from, int64_t i, T otherwise) {
  if (from != nullptr) return load_run<n>(from + i);
  Run<T, n> run;
  for (int k = 0; k < n; ++k) run.v[k] = otherwise;
  return run;
}

/// The group of a row that lies in one of the segments (an empty group has none).
__device__ inline int64_t segment_of(int64_t row, int64_t groups, const int64_t* bounds) {
  int64_t low = 0, high = groups;  // bounds[low] <= row < bounds[high]
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (bounds[middle] <= row ? low : high) = middle;
  }
  return low;
}

/// sum += weight(r) times the run at row(r), for r = begin, begin + step, ... (`batch` rows), whose
/// loads are under way together; a row of weight 0 is not read.
template <int batch, int n, class T, class Row, class Weight>
__device__ inline void add_batch(int64_t begin, int64_t step, Row row, Weight weight,
                                 Run<T, n>& sum) {
  T w[batch];
  Run<std::remove_cvref_t<decltype(*row(begin))>, n> in[batch];
  MINNOW_UNROLL
  for (int q = 0; q < batch; ++q) w[q] = static_cast<T>(weight(begin + q * step));
  MINNOW_UNROLL
  for (int q = 0; q < batch; ++q) {
    in[q] = {};
    if (w[q] != T(0)) in[q] = load_run<n>(row(begin + q * step));
  }
  MINNOW_UNROLL
  for (int q = 0; q < batch; ++q) {
    MINNOW_UNROLL
    for (int k = 0; k < n; ++k) sum.v[k] += w[q] * widen(in[q].v[k]);
  }
}
/// The same for all such r below end, in their order: columns that few threads share do not wait
/// for every single row.
template <int n, class T, class Row, class Weight>
__device__ inline void add_rows(int64_t begin, int64_t end, int64_t step, Row row, Weight weight,
                                Run<T, n>& sum) {
  int64_t r = begin;
  for (; r + 7 * step < end; r += 8 * step) add_batch<8>(r, step, row, weight, sum);
  for (; r < end; r += step) add_batch<1>(r, step, row, weight, sum);
}

}  // namespace minnow::cuda
