// Device memory as the host has it: out of the host's reach, with exact bounds, full of NaN.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/cuda.h"
#include "kernels/host/block_memory.h"
#include "kernels/host/device_access.h"
#include "tests/host/device_array.h"

namespace minnow::cuda {
namespace {

using test::DeviceArray;

__global__ void twice_kernel(int64_t n, const float* x, float* y) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) y[i] = 2 * x[i];
}

TEST(HostMemory, Kernel) {
  const DeviceArray<float> x({1, 2, 3}), y(3);
  MINNOW_LAUNCH(1, 32, 0, twice_kernel, 3, x.data(), y.data());
  EXPECT_EQ(y.read(), (std::vector<float>{2, 4, 6}));
}

TEST(HostMemory, StartsAsNaN) {
  for (int again = 0; again < 2; ++again) {
    const DeviceArray<float> x(100);
    for (const float value : x.read()) EXPECT_TRUE(std::isnan(value));
    zero_on_device(x.data(), 400);
    EXPECT_EQ(x.read(), std::vector<float>(100, 0));
  }
}

TEST(HostMemory, CopiesAndWaits) {
  const DeviceArray<float> x({1, 2, 3}), y(3);
  auto* pinned = static_cast<float*>(pinned_allocate(12));
  const int64_t before = host_waits();
  copy_on_device(y.data(), x.data(), 12);
  copy_to_pinned(pinned, y.data(), 12);
  EXPECT_EQ(pinned[2], 3);
  pinned[2] = 7;
  start_upload(x.data(), pinned, 12);
  finish_upload();
  Event event;
  event.record();
  EXPECT_EQ(host_waits(), before);
  event.wait();
  synchronize();
  EXPECT_EQ(x.read()[2], 7);
  EXPECT_EQ(host_waits(), before + 3);
  pinned_free(pinned);
}

TEST(HostMemory, Accounts) {
  const int64_t before = free_device_memory();
  {
    const DeviceArray<char> x(1000), none(0);
    EXPECT_EQ(free_device_memory(), before - 1000);
    EXPECT_NE(none.data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(x.data()) % 256, 0u);
    const Scratch scratch(24);
    EXPECT_EQ(free_device_memory(), before - 1024);
  }
  EXPECT_EQ(free_device_memory(), before);
  EXPECT_EQ(device_allocate(int64_t{1} << 50), nullptr);
  EXPECT_THROW(Scratch(int64_t{1} << 50), std::runtime_error);
}

TEST(HostMemory, LargeAllocationDuringAccess) {
  const host::DeviceAccess access;
  const DeviceArray<char> x(64 << 20);
  x.data()[(64 << 20) - 1] = 1;
  EXPECT_EQ(x.read().back(), 1);
}

TEST(HostMemory, SaysWhatItIs) {
  EXPECT_EQ(device_problem(), "");
  EXPECT_NE(device_info().name.find("no GPU"), std::string::npos);
}

TEST(HostMemoryDeathTest, HostCodeCannotTouchIt) {
  const DeviceArray<float> x({1, 2, 3});
  const char* message = "host code touched device memory";
  EXPECT_DEATH(x.data()[0] = 1, message);
  {
    const host::DeviceAccess outer;
    {
      const host::DeviceAccess inner;
      x.data()[0] = 4;
    }
    x.data()[1] = 5;
  }
  EXPECT_DEATH(x.data()[0] = 1, message);
  EXPECT_EQ(x.read(), (std::vector<float>{4, 5, 3}));
  EXPECT_DEATH(x.data()[0] = 1, message);
  MINNOW_LAUNCH(1, 32, 0, twice_kernel, 3, x.data(), x.data());
  EXPECT_DEATH(x.data()[0] = 1, message);
}

#if MINNOW_ASAN
TEST(HostMemoryDeathTest, ExactBounds) {
  const DeviceArray<float> x(3), y(64);
  const auto run = [&](int64_t n, const float* from) {
    MINNOW_LAUNCH(1, 96, 0, twice_kernel, n, from, y.data());
  };
  run(3, x.data());
  EXPECT_DEATH(run(4, x.data()), "use-after-poison.*\n.*READ of size 4.*\n.*twice_kernel");
  EXPECT_DEATH(run(1, x.data() - 1), "use-after-poison.*\n.*READ of size 4.*\n.*twice_kernel");
  EXPECT_DEATH(run(65, y.data()), "use-after-poison.*\n.*READ of size 4.*\n.*twice_kernel");
  EXPECT_DEATH(copy_on_device(y.data(), x.data(), 16), "use-after-poison");
}

TEST(HostMemoryDeathTest, FreedMemory) {
  const DeviceArray<float> y(3);
  const float* x = DeviceArray<float>(3).data();
  EXPECT_DEATH(MINNOW_LAUNCH(1, 32, 0, twice_kernel, 3, x, y.data()), "use-after-poison");
}

__global__ void local_kernel(int64_t i, float* y) {
  float local[4];
  for (float& value : local) value = 1;
  __syncthreads();
  y[threadIdx.x] = local[i];
}

TEST(HostMemoryDeathTest, LocalArrays) {
  const DeviceArray<float> y(8);
  MINNOW_LAUNCH(1, 8, 0, local_kernel, 3, y.data());
  EXPECT_DEATH(MINNOW_LAUNCH(1, 8, 0, local_kernel, 4, y.data()),
               "stack-buffer-overflow|out of bounds");
}
#endif

}  // namespace
}  // namespace minnow::cuda
