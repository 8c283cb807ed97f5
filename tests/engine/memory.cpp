#include "engine/memory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/device.h"
#include "tests/expect_error.h"

namespace minnow {
namespace {

constexpr Device cpu = Device::cpu();

using test::test_device;

/// Statistics of the test device since `before`; tensors in static storage may hold memory of their
/// own.
MemoryStats since(const MemoryStats& before) {
  const MemoryStats now = memory_stats(test_device());
  return {now.in_use - before.in_use, now.peak - before.in_use, now.reserved - before.reserved};
}

/// Emulated device memory is freed at once, so that mistakes show.
bool keeps_blocks() {
  return test_device().is_cpu() || !cuda_is_emulated();
}

class Memory : public testing::Test {
 protected:
  void SetUp() override {
    release_cached_memory(test_device());
    reset_peak_memory(test_device());
    before_ = memory_stats(test_device());
  }
  MemoryStats before_;
};

TEST_F(Memory, BlocksAreAligned) {
  for (int64_t bytes : {0, 1, 63, 64, 65, 1000, 4097, 1 << 20}) {
    const auto block = allocate(bytes, cpu);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.get()) % 64, 0u) << bytes;
    std::memset(block.get(), 1, static_cast<size_t>(bytes));
  }
}

TEST_F(Memory, RoundsUpByLessThanAnEighth) {
  for (int64_t bytes : {1024, 1025, 5000, 1'000'001, 33'554'433}) {
    const MemoryStats before = memory_stats(test_device());
    const auto block = allocate(bytes, test_device());
    const int64_t taken = since(before).in_use;
    EXPECT_GE(taken, bytes);
    EXPECT_LE(taken, bytes + bytes / 8);
  }
}

TEST_F(Memory, AFreedBlockServesTheNextOfItsSize) {
  if (!keeps_blocks()) GTEST_SKIP() << "emulated device memory is never kept";
  auto block = allocate(100'000, test_device());
  const std::byte* address = block.get();
  block.reset();
  EXPECT_EQ(since(before_).in_use, 0);
  EXPECT_GE(since(before_).reserved, 100'000);
  const int64_t reserved = memory_stats(test_device()).reserved;
  const auto again = allocate(99'900, test_device());  // another size, the same step
  EXPECT_EQ(again.get(), address);
  EXPECT_EQ(memory_stats(test_device()).reserved, reserved);
}

TEST_F(Memory, PeakIsTheHighWaterMark) {
  auto first = allocate(1 << 16, test_device());
  { const auto second = allocate(1 << 17, test_device()); }
  EXPECT_EQ(since(before_).peak, (1 << 16) + (1 << 17));
  EXPECT_EQ(since(before_).in_use, 1 << 16);
  reset_peak_memory(test_device());
  EXPECT_EQ(since(before_).peak, 1 << 16);
  first.reset();
  EXPECT_EQ(since(before_).peak, 1 << 16);
}

TEST_F(Memory, MeasuringThePeakKeepsFreedBlocks) {
  if (!keeps_blocks()) GTEST_SKIP() << "emulated device memory is never kept";
  // Far more than is in use: the cache gives blocks back when it holds twice the most that was.
  allocate(3 * before_.in_use + (1 << 20), test_device()).reset();
  const int64_t reserved = memory_stats(test_device()).reserved;
  reset_peak_memory(test_device());
  const auto other = allocate(1 << 16, test_device());
  EXPECT_EQ(memory_stats(test_device()).reserved, reserved + (1 << 16));
}

TEST_F(Memory, ReleaseReturnsWhatIsNotInUse) {
  if (!keeps_blocks()) GTEST_SKIP() << "emulated device memory is never kept";
  const auto kept = allocate(1 << 16, test_device());
  allocate(1 << 18, test_device()).reset();
  EXPECT_EQ(since(before_).reserved, (1 << 16) + (1 << 18));
  release_cached_memory(test_device());
  EXPECT_EQ(since(before_).reserved, 1 << 16);
}

// Shapes that change from step to step (audio) must not pile up a cache of every size seen.
TEST_F(Memory, TheCacheStaysBelowTwiceThePeak) {
  for (int64_t bytes = 1 << 20; bytes < 1 << 23; bytes += 100'000)
    allocate(bytes, test_device()).reset();
  const MemoryStats now = memory_stats(test_device());
  EXPECT_LE(now.reserved, 2 * now.peak);
}

TEST_F(Memory, AnAllocationThatFailsNamesItsSizeAndChangesNothing) {
#if defined(__SANITIZE_ADDRESS__)
  if (test_device().is_cpu())
    GTEST_SKIP() << "AddressSanitizer ends the program where malloc would return nullptr";
#endif
  const std::string size = test_device().is_cpu() ? "1152921504606846976" : "1099511627776.0 MiB";
  expect_error<RunError>([] { allocate(int64_t{1} << 60, test_device()); },
                         {"out of memory", size, "train.wave", "train.batch"});
  EXPECT_EQ(since(before_).in_use, 0);
  EXPECT_EQ(since(before_).peak, 0);
}

TEST_F(Memory, ThreadsShareTheAllocator) {
  const int64_t in_use = memory_stats(cpu).in_use;
  std::atomic<int> damaged = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&damaged, t] {
      for (int i = 0; i < 2000; ++i) {
        const size_t bytes = 64u * static_cast<size_t>(1 + i % 5);
        const auto block = allocate(static_cast<int64_t>(bytes), cpu);
        std::memset(block.get(), t, bytes);
        for (size_t k = 0; k < bytes; ++k) damaged += block.get()[k] != static_cast<std::byte>(t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(damaged, 0);
  EXPECT_EQ(memory_stats(cpu).in_use, in_use);
}

TEST_F(Memory, PinnedMemoryIsAligned) {
  for (int64_t bytes : {0, 1, 65, 4097}) {
    const auto block = allocate_pinned(bytes);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.get()) % 64, 0u) << bytes;
    std::memset(block.get(), 1, static_cast<size_t>(bytes));
  }
}

TEST_F(Memory, CopiesAndZeros) {
  const Device device = test_device();
  const std::vector<uint8_t> values = {1, 2, 3, 4, 5, 6};
  const auto a = allocate(6, device), b = allocate(6, device);
  copy_bytes(a.get(), device, values.data(), cpu, 6);
  zero_bytes(a.get() + 1, device, 2);
  copy_bytes(b.get(), device, a.get(), device, 6);
  copy_bytes(b.get(), device, nullptr, cpu, 0);
  std::vector<uint8_t> back(6);
  copy_bytes(back.data(), cpu, b.get(), device, 6);
  EXPECT_EQ(back, (std::vector<uint8_t>{1, 0, 0, 4, 5, 6}));
}

TEST_F(Memory, OnlyCopiesToTheHostWait) {
  const Device device = test_device();
  const int64_t before = host_waits();
  std::vector<uint8_t> values(6);
  const auto a = allocate(6, device), b = allocate(6, device);
  zero_bytes(a.get(), device, 6);
  copy_bytes(b.get(), device, a.get(), device, 6);
  copy_bytes(b.get(), device, values.data(), cpu, 6);
  EXPECT_EQ(host_waits(), before);
  copy_bytes(values.data(), cpu, b.get(), device, 6);
  EXPECT_EQ(host_waits(), before + (device.is_cuda() ? 1 : 0));
  synchronize(device);
  EXPECT_EQ(host_waits(), before + (device.is_cuda() ? 2 : 0));
}

}  // namespace
}  // namespace minnow
