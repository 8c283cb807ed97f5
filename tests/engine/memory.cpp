#include "engine/memory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/expect_error.h"

namespace minnow {
namespace {

constexpr Device cpu = Device::cpu();

/// Statistics since `before`; tensors in static storage may hold memory of their own.
MemoryStats since(const MemoryStats& before) {
  const MemoryStats now = memory_stats(cpu);
  return {now.in_use - before.in_use, now.peak - before.in_use, now.reserved - before.reserved};
}

class Memory : public testing::Test {
 protected:
  void SetUp() override {
    release_cached_memory(cpu);
    reset_peak_memory(cpu);
    before_ = memory_stats(cpu);
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
    const MemoryStats before = memory_stats(cpu);
    const auto block = allocate(bytes, cpu);
    const int64_t taken = since(before).in_use;
    EXPECT_GE(taken, bytes);
    EXPECT_LE(taken, bytes + bytes / 8);
  }
}

TEST_F(Memory, AFreedBlockServesTheNextOfItsSize) {
  auto block = allocate(100'000, cpu);
  const std::byte* address = block.get();
  block.reset();
  EXPECT_EQ(since(before_).in_use, 0);
  EXPECT_GE(since(before_).reserved, 100'000);
  const int64_t reserved = memory_stats(cpu).reserved;
  const auto again = allocate(99'900, cpu);  // another size, the same step
  EXPECT_EQ(again.get(), address);
  EXPECT_EQ(memory_stats(cpu).reserved, reserved);
}

TEST_F(Memory, PeakIsTheHighWaterMark) {
  auto first = allocate(1 << 16, cpu);
  { const auto second = allocate(1 << 17, cpu); }
  EXPECT_EQ(since(before_).peak, (1 << 16) + (1 << 17));
  EXPECT_EQ(since(before_).in_use, 1 << 16);
  reset_peak_memory(cpu);
  EXPECT_EQ(since(before_).peak, 1 << 16);
  first.reset();
  EXPECT_EQ(since(before_).peak, 1 << 16);
}

TEST_F(Memory, ReleaseReturnsWhatIsNotInUse) {
  const auto kept = allocate(1 << 16, cpu);
  allocate(1 << 18, cpu).reset();
  EXPECT_EQ(since(before_).reserved, (1 << 16) + (1 << 18));
  release_cached_memory(cpu);
  EXPECT_EQ(since(before_).reserved, 1 << 16);
}

// Shapes that change from step to step (audio) must not pile up a cache of every size seen.
TEST_F(Memory, TheCacheStaysBelowTwiceThePeak) {
  for (int64_t bytes = 1 << 20; bytes < 1 << 23; bytes += 100'000) allocate(bytes, cpu).reset();
  const MemoryStats now = memory_stats(cpu);
  EXPECT_LE(now.reserved, 2 * now.peak);
}

TEST_F(Memory, AnAllocationThatFailsNamesItsSizeAndChangesNothing) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer ends the program where malloc would return nullptr";
#endif
  expect_error<RunError>([] { allocate(int64_t{1} << 60, cpu); },
                         {"out of memory", "1152921504606846976"});
  EXPECT_EQ(since(before_).in_use, 0);
  EXPECT_EQ(since(before_).peak, 0);
}

TEST_F(Memory, ThreadsShareTheAllocator) {
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
  EXPECT_EQ(since(before_).in_use, 0);
}

}  // namespace
}  // namespace minnow
