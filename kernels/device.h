#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/cuda.h"
#include "kernels/runtime.h"

/// What the kernels of the .cu files share: sizes of grids, 16-byte loads, sums over warps and
/// blocks. Every sum has one fixed order, so that two runs give the same bits.
namespace minnow::cuda {

inline constexpr int warp_lanes = 32;
inline constexpr unsigned every_lane = 0xffffffffu;
/// Threads of a block where nothing speaks for another number.
inline constexpr int block_threads = 256;

inline int64_t ceil_div(int64_t a, int64_t b) {
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

}  // namespace minnow::cuda
