// Warps as the host executes them: shuffles and votes against their definitions, atomics, bits.

#include <gtest/gtest.h>

#include <type_traits>

#include "kernels/cuda.h"
#include "tests/expect_error.h"
#include "tests/host/device_array.h"
#include "tests/host/order.h"

namespace minnow::cuda {
namespace {

using test::DeviceArray;

constexpr unsigned all_lanes = 0xffffffffu;

enum Shuffle { from_lane, from_below, from_above, from_pair };

template <class T>
__global__ void shuffle_kernel(Shuffle kind, int by, int width, T* y) {
  const T mine = static_cast<T>(1000 + threadIdx.x);
  const auto delta = static_cast<unsigned>(by);
  T got = 0;
  if (kind == from_lane) got = __shfl_sync(all_lanes, mine, by, width);
  if (kind == from_below) got = __shfl_up_sync(all_lanes, mine, delta, width);
  if (kind == from_above) got = __shfl_down_sync(all_lanes, mine, delta, width);
  if (kind == from_pair) got = __shfl_xor_sync(all_lanes, mine, by, width);
  y[threadIdx.x] = got;
}

/// The lane that lane `i` reads, as the CUDA C++ programming guide defines it.
int source_of(Shuffle kind, int i, int by, int width) {
  const int first = i / width * width, last = first + width - 1;
  int source = 0;
  if (kind == from_lane) source = first + by % width;
  if (kind == from_below) source = i - by < first ? i : i - by;
  if (kind == from_above) source = i + by > last ? i : i + by;
  if (kind == from_pair) source = (i ^ by) > last ? i : i ^ by;
  return source;
}

template <class T>
void check_shuffles() {
  const DeviceArray<T> y(64);
  for (const Shuffle kind : {from_lane, from_below, from_above, from_pair}) {
    for (const int width : {2, 8, 32}) {
      for (const int by : {0, 1, 2, 5, 16, 31}) {
        MINNOW_LAUNCH(1, 64, 0, shuffle_kernel<T>, kind, by, width, y.data());
        const std::vector<T> got = y.read();
        for (int i = 0; i < 64; ++i) {
          const int source = i / 32 * 32 + source_of(kind, i % 32, by, width);
          ASSERT_EQ(got[static_cast<size_t>(i)], static_cast<T>(1000 + source))
              << "kind " << kind << " by " << by << " width " << width << " thread " << i;
        }
      }
    }
  }
}

TEST(HostWarp, Shuffles) {
  check_shuffles<float>();
  check_shuffles<int>();
  check_shuffles<double>();
  check_shuffles<unsigned long long>();
  const test::Order shuffled(7);
  check_shuffles<float>();
}

__global__ void vote_kernel(unsigned truth, unsigned* ballots, int* any, int* all) {
  const bool mine = truth >> (threadIdx.x % 32) & 1;
  ballots[threadIdx.x] = __ballot_sync(all_lanes, mine);
  any[threadIdx.x] = __any_sync(all_lanes, mine);
  all[threadIdx.x] = __all_sync(all_lanes, mine);
}

TEST(HostWarp, Votes) {
  const DeviceArray<unsigned> ballots(64);
  const DeviceArray<int> any(64), all(64);
  for (const unsigned truth : {0u, 1u, 0x80000000u, 0x12345678u, all_lanes - 1, all_lanes}) {
    MINNOW_LAUNCH(1, 64, 0, vote_kernel, truth, ballots.data(), any.data(), all.data());
    EXPECT_EQ(ballots.read(), std::vector<unsigned>(64, truth));
    EXPECT_EQ(any.read(), std::vector<int>(64, truth != 0));
    EXPECT_EQ(all.read(), std::vector<int>(64, truth == all_lanes));
  }
}

__global__ void partial_kernel(unsigned* y) {
  const unsigned lane = threadIdx.x;
  if (lane % 3 == 0) {
    y[lane] = __ballot_sync(0x49249249u, lane < 16);
  } else if (lane < 20) {
    y[lane] = __ballot_sync(0x000db6db6u & 0xfffffu, 1);
  } else {
    y[lane] = __activemask();
  }
}

TEST(HostWarp, VotesOfPartOfAWarp) {
  const DeviceArray<unsigned> y(32);
  MINNOW_LAUNCH(1, 32, 0, partial_kernel, y.data());
  const std::vector<unsigned> got = y.read();
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned expected = lane % 3 == 0 ? 0x9249u : lane < 20 ? 0xb6db6u : 1u << lane;
    EXPECT_EQ(got[lane], expected) << lane;
  }
}

__global__ void exchange_kernel(int* y) {
  MINNOW_SHARED(int, box, [32]);
  box[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();
  y[threadIdx.x] = box[31 - threadIdx.x];
}

TEST(HostWarp, SyncwarpWaits) {
  const DeviceArray<int> y(32);
  MINNOW_LAUNCH(1, 32, 0, exchange_kernel, y.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(y.read()[static_cast<size_t>(i)], 31 - i);
}

__global__ void diverged_kernel(int bug) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const unsigned half = 0xffffu;
  if (bug == 0 && lane < 16) __shfl_down_sync(all_lanes, 1.f, 8);
  if (bug == 1) __shfl_xor_sync(lane < 16 ? all_lanes : half << 16, 1, 1);
  if (bug == 2) __ballot_sync(half, 1);
  if (bug == 3 && lane < 16) __shfl_down_sync(half, 1, 1 << 3);
  if (bug == 5) __syncwarp(lane < 16 ? all_lanes : all_lanes - 1);
  if (bug == 4 && lane < 16) __syncwarp(all_lanes);
  if (bug == 4 && lane >= 16) __any_sync(all_lanes, 1);
  __syncthreads();
}

__global__ void part_kernel() {
  __syncwarp();
}

TEST(HostWarp, DivergedOperations) {
  const test::Order ascending(0);
  const auto run = [](int bug) {
    return [bug] { MINNOW_LAUNCH(dim3(2, 2), 64, 0, diverged_kernel, bug); };
  };
  expect_error<DeviceError>(run(0),
                            {"diverged_kernel, block (0, 0, 0), thread (0, 0, 0) waits in vain at "
                             "__shfl_down_sync(mask 0xffffffff) ",
                             "warp.cpp:", " 32 (first: (16, 0, 0)) at __syncthreads"});
  expect_error<DeviceError>(run(1),
                            {"thread (0, 0, 0) waits in vain at __shfl_xor_sync(mask 0xffffffff)"});
  expect_error<DeviceError>(run(2), {"thread (16, 0, 0): __ballot_sync(mask 0x0000ffff)",
                                     "the mask lacks the lane that calls"});
  expect_error<DeviceError>(run(3), {"thread (8, 0, 0): __shfl_down_sync(mask 0x0000ffff)",
                                     "reads a lane that the mask lacks"});
  expect_error<DeviceError>(run(4), {"__syncwarp(mask 0xffffffff)", "__any_sync(mask 0xffffffff)"});
  expect_error<DeviceError>(run(5), {"__syncwarp(mask 0xffffffff)", "__syncwarp(mask 0xfffffffe)"});
  MINNOW_LAUNCH(1, 32, 0, part_kernel);
  expect_error<DeviceError>(
      [] { MINNOW_LAUNCH(1, 48, 0, part_kernel); },
      {"part_kernel, block (0, 0, 0), thread (32, 0, 0)", "the mask names lanes beyond the block"});
}

template <class T>
__global__ void atomic_kernel(T* y) {
  atomicAdd(y, T(threadIdx.x));
  if constexpr (!std::is_floating_point_v<T>) {
    atomicMax(y + 1, T(threadIdx.x));
    atomicMin(y + 2, T(threadIdx.x));
    atomicCAS(y + 3, T(threadIdx.x), T(threadIdx.x + 1));
  }
}

template <class T>
void check_atomics() {
  const test::Order ascending(0);  // of which the chain of atomicCAS makes use
  const DeviceArray<T> y(std::vector<T>{5, 50, 50, 0});
  MINNOW_LAUNCH(4, 100, 0, atomic_kernel<T>, y.data());
  const bool whole = !std::is_floating_point_v<T>;
  const std::vector<T> expected = {19805, T(whole ? 99 : 50), T(whole ? 0 : 50),
                                   T(whole ? 100 : 0)};
  EXPECT_EQ(y.read(), expected);
}

TEST(HostWarp, Atomics) {
  check_atomics<int>();
  check_atomics<unsigned>();
  check_atomics<unsigned long long>();
  check_atomics<float>();
  check_atomics<double>();
  int place = 3;
  EXPECT_EQ(atomicAdd(&place, 4), 3);
  EXPECT_EQ(atomicExch(&place, 1), 7);
  EXPECT_EQ(atomicCAS(&place, 2, 9), 1);
  EXPECT_EQ(atomicOr(&place, 6), 1);
  EXPECT_EQ(place, 7);
}

TEST(HostWarp, Bits) {
  EXPECT_EQ(__popc(0xF0F0u), 8);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__brev(1), 0x80000000u);
  EXPECT_EQ(__umulhi(0x80000000u, 6), 3u);
  EXPECT_EQ(__float_as_int(1.f), 0x3f800000);
  EXPECT_EQ(__int_as_float(0x40000000), 2.f);
  EXPECT_EQ(rsqrt(4.0), 0.5);
}

}  // namespace
}  // namespace minnow::cuda
