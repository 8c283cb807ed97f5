// Blocks as the host executes them: barriers, shared memory, order, what a launch may ask for.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <thread>

#include "kernels/cuda.h"
#include "kernels/host/block_memory.h"
#include "tests/expect_error.h"
#include "tests/host/device_array.h"
#include "tests/host/order.h"

namespace minnow::cuda {
namespace {

using test::DeviceArray;
using test::Order;

template <bool barrier>
__global__ void block_sum_kernel(const float* x, float* y) {
  MINNOW_SHARED(float, partial, [256]);
  partial[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  if (barrier) __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    if (barrier) __syncthreads();
  }
  if (threadIdx.x == 0) y[blockIdx.x] = partial[0];
}

std::vector<float> sums(bool barrier) {
  std::vector<float> x(3 * 256);
  std::iota(x.begin(), x.end(), 0.f);
  const DeviceArray<float> from(x), to(3);
  if (barrier) {
    MINNOW_LAUNCH(3, 256, 0, block_sum_kernel<true>, from.data(), to.data());
  } else {
    MINNOW_LAUNCH(3, 256, 0, block_sum_kernel<false>, from.data(), to.data());
  }
  return to.read();
}

TEST(HostBlock, Barriers) {
  const std::vector<float> expected = {32640, 98176, 163712};  // 256 (256 b + 127.5)
  EXPECT_EQ(sums(true), expected);
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Order order(seed);
    EXPECT_EQ(sums(true), expected) << "order " << seed;
  }
}

TEST(HostBlock, MissingBarrierShows) {
  const Order ascending(0);
  for (const float sum : sums(false)) EXPECT_TRUE(std::isnan(sum)) << sum;
}

TEST(HostBlock, LaunchesFromSeveralThreads) {
  const std::vector<float> expected = sums(true);
  const auto work = [&] {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(sums(true), expected);
  };
  std::thread one(work), other(work);
  work();
  one.join();
  other.join();
}

__global__ void neighbour_kernel(int* y) {
  MINNOW_SHARED(int, mine, [64]);
  mine[threadIdx.x] = 0;
  __syncthreads();
  mine[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
  // A barrier is missing here.
  y[threadIdx.x] = mine[(threadIdx.x + 1) % 64];
}

TEST(HostBlock, MissingBarrierDependsOnOrder) {
  const DeviceArray<int> y(64);
  std::vector<std::vector<int>> results;
  for (uint64_t seed : {0, 1, 2, 1}) {
    const Order order(seed);
    MINNOW_LAUNCH(1, 64, 0, neighbour_kernel, y.data());
    results.push_back(y.read());
  }
  EXPECT_NE(results[0], results[1]);
  EXPECT_NE(results[1], results[2]);
  EXPECT_EQ(results[1], results[3]);  // the same seed, the same order
}

__global__ void predicates_kernel(int* y) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int any = __syncthreads_or(i == 40), none = __syncthreads_or(i == 400);
  const int all = __syncthreads_and(i < 96), most = __syncthreads_and(i < 95);
  const bool right = count == 32 && any && !none && all && !most;
  y[i] = right;
}

TEST(HostBlock, BarriersWithPredicates) {
  const DeviceArray<int> y(96);
  MINNOW_LAUNCH(1, 96, 0, predicates_kernel, y.data());
  EXPECT_EQ(y.read(), std::vector<int>(96, 1));
}

__global__ void diverged_kernel(int which) {
  const bool second = threadIdx.x >= 40;
  if (which == 0 && second) return;
  if (which == 1 && second) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(HostBlock, DivergedBarrier) {
  const Order ascending(0);
  MINNOW_LAUNCH(1, 64, 0, diverged_kernel, 2);
  expect_error<DeviceError>(
      [] { MINNOW_LAUNCH(dim3(3, 2), dim3(64, 2), 0, diverged_kernel, 0); },
      {"diverged_kernel", "block (0, 0, 0)", "thread (0, 0, 0)", "__syncthreads",
       "tests/host/block.cpp:", " 80 (first: (0, 0, 0)) at __syncthreads",
       " 48 (first: (40, 0, 0)) ended"});
}

TEST(HostBlock, ThreadsThatEndedDivergeFromABarrier) {
  const Order ascending(0);
  expect_error<DeviceError>([] { MINNOW_LAUNCH(2, 64, 0, diverged_kernel, 0); },
                            {"diverged_kernel, block (0, 0, 0), thread (0, 0, 0) waits in vain at "
                             "__syncthreads",
                             "tests/host/block.cpp:", " 40 (first: (0, 0, 0)) at __syncthreads",
                             " 24 (first: (40, 0, 0)) ended"});
  expect_error<DeviceError>(
      [] { MINNOW_LAUNCH(2, 64, 0, diverged_kernel, 1); },
      {" 40 (first: (0, 0, 0)) at __syncthreads", " 24 (first: (40, 0, 0)) at __syncthreads"});
  EXPECT_EQ(sums(true)[0], 32640);  // the block that failed leaves nothing behind
}

struct CountsEnds {
  int* ends;
  ~CountsEnds() { ++*ends; }
};

__global__ void ends_kernel(int* ends) {
  const CountsEnds count{ends};
  if (threadIdx.x == 5) return;
  __syncthreads();
}

TEST(HostBlock, AbandonedThreadsRunTheirDestructors) {
  int ends = 0;
  EXPECT_THROW(MINNOW_LAUNCH(4, 64, 0, ends_kernel, &ends), DeviceError);
  EXPECT_EQ(ends, 64);
}

__global__ void order_kernel(int* next, int* blocks, int* threads) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int place = atomicAdd(next, 1);
  blocks[place] = static_cast<int>(blockIdx.x);
  threads[place] = i;
}

TEST(HostBlock, Order) {
  std::vector<int> ascending(8 * 64);
  std::iota(ascending.begin(), ascending.end(), 0);
  for (uint64_t seed : {0, 1}) {
    const Order order(seed);
    const DeviceArray<int> next(std::vector<int>{0}), blocks(8 * 64), threads(8 * 64);
    MINNOW_LAUNCH(8, 64, 0, order_kernel, next.data(), blocks.data(), threads.data());
    std::vector<int> ran = threads.read(), block = blocks.read();
    EXPECT_EQ(ran == ascending, seed == 0);
    EXPECT_EQ(std::is_sorted(block.begin(), block.end()), seed == 0);
    std::sort(ran.begin(), ran.end());
    EXPECT_EQ(ran, ascending);
  }
}

__global__ void indices_kernel(int* y) {
  const bool sizes = gridDim.x == 2 && gridDim.y == 3 && gridDim.z == 4 && blockDim.x == 5 &&
                     blockDim.y == 6 && blockDim.z == 7;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  __syncthreads();  // indices are the thread's own after others have run
  y[block * 210 + (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x] =
      sizes ? static_cast<int>(block * 210 + thread) : -1;
}

TEST(HostBlock, Indices) {
  const DeviceArray<int> y(24 * 210);
  MINNOW_LAUNCH(dim3(2, 3, 4), dim3(5, 6, 7), 0, indices_kernel, y.data());
  std::vector<int> expected(24 * 210);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(y.read(), expected);
}

__global__ void shared_kernel(int64_t past, float* y) {
  MINNOW_SHARED(float, tile, [3][5]);
  MINNOW_SHARED(double, number, );
  float* more = dynamic_shared<float>();
  float sum = 0;
  if (threadIdx.x == 0) {
    y[0] = tile[2][4];
    y[1] = static_cast<float>(number);
    y[2] = more[6];
    number = 1;
    more[6] = 2;
    tile[2][4] = 3;
  }
  __syncthreads();
  if (threadIdx.x == 1) y[3] = static_cast<float>(number) + more[6] + tile[2][4];
  if (past > 0) sum += (&tile[0][0])[14 + past];
  if (past < 0) sum += more[6 - past];
  if (past != 0) y[0] = sum;
}

TEST(HostBlock, SharedMemory) {
  for (int launch = 0; launch < 2; ++launch) {  // in every block it starts as NaN
    const DeviceArray<float> y(4);
    MINNOW_LAUNCH(2, 2, 7 * 4, shared_kernel, 0, y.data());
    const std::vector<float> got = y.read();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(got[static_cast<size_t>(i)])) << i;
    EXPECT_EQ(got[3], 6);
  }
}

#if MINNOW_ASAN
TEST(HostBlockDeathTest, SharedMemoryHasExactBounds) {
  const DeviceArray<float> y(4);
  const auto run = [&](int64_t past) { MINNOW_LAUNCH(1, 2, 7 * 4, shared_kernel, past, y.data()); };
  EXPECT_DEATH(run(1), "use-after-poison.*\n.*\n.*shared_kernel");
  EXPECT_DEATH(run(-1), "use-after-poison.*\n.*\n.*shared_kernel");
}
#endif

__global__ void much_shared_kernel() {
  MINNOW_SHARED(double, most, [48 * 128]);
  most[threadIdx.x] = 0;
}

__global__ void too_much_shared_kernel() {
  MINNOW_SHARED(double, most, [48 * 128 + 1]);
  most[threadIdx.x] = 0;
}

__global__ void nothing_kernel() {}

__global__ void launching_kernel() {
  MINNOW_LAUNCH(1, 1, 0, nothing_kernel);
}

TEST(HostBlock, Limits) {
  const Order ascending(0);
  const std::string none = "no device runs a grid of";
  MINNOW_LAUNCH(1, 1024, 227 << 10, nothing_kernel);
  MINNOW_LAUNCH(dim3(1, 65535), 1, 0, nothing_kernel);
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, 1025, 0, nothing_kernel); },
                            {"nothing_kernel", "block.cpp:", none, "(1025, 1, 1) threads"});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, dim3(64, 17), 0, nothing_kernel); }, {none});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, 0, 0, nothing_kernel); }, {none});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, dim3(1, 1, 65), 0, nothing_kernel); }, {none});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(dim3(1, 65536), 1, 0, nothing_kernel); }, {none});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, 1, (227 << 10) + 1, nothing_kernel); }, {none});

  MINNOW_LAUNCH(1, 32, 179 << 10, much_shared_kernel);
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, 32, (179 << 10) + 1, much_shared_kernel); },
                            {"much_shared_kernel", "thread (0, 0, 0)", "49152 bytes of static"});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, 32, 0, too_much_shared_kernel); },
                            {"49160 bytes of static"});
  expect_error<DeviceError>([] { MINNOW_LAUNCH(1, 1, 0, launching_kernel); },
                            {"nothing_kernel: started by a kernel"});
}

TEST(HostBlock, CountsLaunchesAndNamesKernels) {
  const int64_t before = host::launches();
  MINNOW_LAUNCH(5, 32, 0, nothing_kernel);
  MINNOW_LAUNCH(0, 32, 0, nothing_kernel);  // an empty grid is no launch
  EXPECT_EQ(host::launches(), before + 1);
  sums(true);
  EXPECT_TRUE(host::kernels_run().contains("nothing_kernel"));
  EXPECT_TRUE(host::kernels_run().contains("block_sum_kernel"));  // without <true>
}

}  // namespace
}  // namespace minnow::cuda
