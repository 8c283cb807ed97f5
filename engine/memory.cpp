#include "engine/memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/check.h"

namespace minnow {
namespace {

constexpr int64_t alignment = 64;  // a cache line, and the widest vector register

/// Caching allocator. Sizes are rounded up to one of eight steps per power of two, so that a block
/// freed by one shape serves a similar one; pages that were touched once are not faulted in again
/// at every step.
class CpuAllocator {
 public:
  std::byte* take(int64_t bytes) {
    const int64_t size = rounded(bytes);
    std::lock_guard lock(mutex_);
    std::byte* block = take_locked(size);
    stats_.in_use += size;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    return block;
  }

  void give_back(std::byte* block, int64_t bytes) {
    const int64_t size = rounded(bytes);
    std::lock_guard lock(mutex_);
    stats_.in_use -= size;
    free_[size].push_back(block);
  }

  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() {
    std::lock_guard lock(mutex_);
    stats_.peak = stats_.in_use;
  }

  void release() {
    std::lock_guard lock(mutex_);
    release_locked();
  }

 private:
  static int64_t rounded(int64_t bytes) {
    const uint64_t wanted = static_cast<uint64_t>(std::max(bytes, alignment));
    const uint64_t step = std::max<uint64_t>(alignment, std::bit_floor(wanted) / 8);
    return static_cast<int64_t>((wanted + step - 1) / step * step);
  }

  static std::byte* from_system(int64_t size) {
    return static_cast<std::byte*>(
        std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(size)));
  }

  std::byte* take_locked(int64_t size) {
    auto& blocks = free_[size];
    if (!blocks.empty()) {
      std::byte* block = blocks.back();
      blocks.pop_back();
      return block;
    }
    const int64_t peak = std::max(stats_.peak, stats_.in_use + size);
    if (stats_.reserved + size > 2 * peak) release_locked();
    std::byte* block = from_system(size);
    if (block == nullptr) {
      release_locked();  // blocks of other sizes may stand in the way
      block = from_system(size);
    }
    if (block == nullptr) {
      throw RunError(fmt::format(
          "out of memory: asked for {} bytes with {} in use; turn down train.wave or train.batch",
          size, stats_.in_use));
    }
    stats_.reserved += size;
    return block;
  }

  void release_locked() {
    for (auto& [size, blocks] : free_) {
      for (std::byte* block : blocks) std::free(block);
      stats_.reserved -= size * static_cast<int64_t>(blocks.size());
      blocks.clear();
    }
  }

  std::mutex mutex_;
  MemoryStats stats_;
  std::unordered_map<int64_t, std::vector<std::byte*>> free_;
};

/// Never destroyed: tensors in static storage may outlive any order of destruction.
CpuAllocator& cpu_allocator() {
  static auto* allocator = new CpuAllocator;
  return *allocator;
}

}  // namespace

std::shared_ptr<std::byte> allocate(int64_t bytes, Device) {
  std::byte* block = cpu_allocator().take(bytes);
  return {block, [bytes](std::byte* p) { cpu_allocator().give_back(p, bytes); }};
}

MemoryStats memory_stats(Device) {
  return cpu_allocator().stats();
}

void reset_peak_memory(Device) {
  cpu_allocator().reset_peak();
}

void release_cached_memory(Device) {
  cpu_allocator().release();
}

}  // namespace minnow
