#include "engine/memory.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/check.h"
#if MINNOW_CUDA
#include "kernels/runtime.h"
#endif

namespace minnow {
namespace {

constexpr int64_t alignment = 64;  // a cache line, and the widest vector register

/// Where an allocator gets its memory from.
struct Source {
  void* (*take)(int64_t bytes);  // nullptr where there is not enough
  void (*give)(void* block);
  std::string (*shortage)(int64_t bytes, int64_t in_use);  // the message of the error
  bool keeps = true;  // freed blocks are kept for reuse, and sizes rounded up so that they fit
};

/// Caching allocator. Sizes are rounded up to one of eight steps per power of two, so that a block
/// freed by one shape serves a similar one; pages that were touched once are not faulted in again
/// at every step, and a GPU is not made to wait by its driver's allocator.
class Allocator {
 public:
  explicit Allocator(Source source) : source_(source) {}

  std::byte* take(int64_t bytes) {
    const int64_t size = rounded(bytes);
    std::lock_guard lock(mutex_);
    std::byte* block = take_locked(size);
    stats_.in_use += size;
    stats_.peak = std::max(stats_.peak, stats_.in_use);
    most_in_use_ = std::max(most_in_use_, stats_.in_use);
    return block;
  }

  void give_back(std::byte* block, int64_t bytes) {
    const int64_t size = rounded(bytes);
    std::lock_guard lock(mutex_);
    stats_.in_use -= size;
    free_[size].push_back(block);
    if (!source_.keeps) release_locked();
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
    most_in_use_ = stats_.in_use;
  }

 private:
  int64_t rounded(int64_t bytes) const {
    if (!source_.keeps) return bytes;
    const uint64_t wanted = static_cast<uint64_t>(std::max(bytes, alignment));
    const uint64_t step = std::max<uint64_t>(alignment, std::bit_floor(wanted) / 8);
    return static_cast<int64_t>((wanted + step - 1) / step * step);
  }

  std::byte* take_locked(int64_t size) {
    auto& blocks = free_[size];
    if (!blocks.empty()) {
      std::byte* block = blocks.back();
      blocks.pop_back();
      return block;
    }
    const int64_t most = std::max(most_in_use_, stats_.in_use + size);
    if (stats_.reserved + size > 2 * most) release_locked();
    void* block = source_.take(size);
    if (block == nullptr) {
      release_locked();  // blocks of other sizes may stand in the way
      block = source_.take(size);
    }
    if (block == nullptr) throw RunError(source_.shortage(size, stats_.in_use));
    stats_.reserved += size;
    return static_cast<std::byte*>(block);
  }

  void release_locked() {
    for (auto& [size, blocks] : free_) {
      for (std::byte* block : blocks) source_.give(block);
      stats_.reserved -= size * static_cast<int64_t>(blocks.size());
      blocks.clear();
    }
  }

  Source source_;
  std::mutex mutex_;
  MemoryStats stats_;
  /// Since release(); who resets stats_.peak to measure must not lose kept blocks.
  int64_t most_in_use_ = 0;
  std::unordered_map<int64_t, std::vector<std::byte*>> free_;
};

/// Allocators are never destroyed: tensors in static storage may outlive any order of destruction.
Allocator& cpu_allocator() {
  static auto* allocator = new Allocator(
      {.take =
           [](int64_t bytes) {
             return std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(bytes));
           },
       .give = std::free,
       .shortage =
           [](int64_t bytes, int64_t in_use) {
             return fmt::format(
                 "out of memory: asked for {} bytes with {} in use; turn down train.wave or "
                 "train.batch",
                 bytes, in_use);
           }});
  return *allocator;
}

std::shared_ptr<std::byte> shared_block(Allocator& allocator, int64_t bytes) {
  std::byte* block = allocator.take(bytes);
  return {block, [&allocator, bytes](std::byte* p) { allocator.give_back(p, bytes); }};
}

#if MINNOW_CUDA

#ifdef MINNOW_CUDA_HOST
constexpr bool keep_device_blocks = false;  // exact bounds and no reuse let mistakes show
#else
constexpr bool keep_device_blocks = true;
#endif

std::string device_shortage(int64_t bytes, int64_t in_use) {
  constexpr double mib = 1 << 20;
  return fmt::format(
      "out of memory on {}: asked for {:.1f} MiB with {:.1f} in use by tensors and {:.1f} of "
      "{:.1f} free; turn down train.wave or train.batch, or set precision=bf16",
      cuda::device_info().name, static_cast<double>(bytes) / mib, static_cast<double>(in_use) / mib,
      static_cast<double>(cuda::free_device_memory()) / mib,
      static_cast<double>(cuda::device_info().memory) / mib);
}

Allocator& cuda_allocator() {
  static auto* allocator = [] {
    const std::string problem = cuda_problem();
    check(problem.empty(), "device: cuda can't be used: {}", problem);
    auto* made = new Allocator({.take = cuda::device_allocate,
                                .give = cuda::device_free,
                                .shortage = device_shortage,
                                .keeps = keep_device_blocks});
    cuda::Scratch::take = [](int64_t bytes) -> void* { return cuda_allocator().take(bytes); };
    cuda::Scratch::give = [](void* block, int64_t bytes) {
      cuda_allocator().give_back(static_cast<std::byte*>(block), bytes);
    };
    return made;
  }();
  return *allocator;
}

Allocator& pinned_allocator() {
  static auto* allocator = new Allocator(
      {.take = cuda::pinned_allocate,
       .give = cuda::pinned_free,
       .shortage = [](int64_t bytes, int64_t in_use) {
         return fmt::format(
             "out of page-locked memory: asked for {} bytes with {} in use; turn down "
             "train.batch",
             bytes, in_use);
       }});
  return *allocator;
}

Allocator& allocator_of(Device device) {
  return device.is_cpu() ? cpu_allocator() : cuda_allocator();
}

#else

Allocator& allocator_of(Device device) {
  check(device.is_cpu(), "device: cuda can't be used: {}", cuda_problem());
  return cpu_allocator();
}

#endif

}  // namespace

std::shared_ptr<std::byte> allocate(int64_t bytes, Device device) {
  return shared_block(allocator_of(device), bytes);
}

MemoryStats memory_stats(Device device) {
  return allocator_of(device).stats();
}

void reset_peak_memory(Device device) {
  allocator_of(device).reset_peak();
}

void release_cached_memory(Device device) {
  allocator_of(device).release();
}

#if MINNOW_CUDA

std::string cuda_problem() {
  return cuda::device_problem();
}

std::shared_ptr<std::byte> allocate_pinned(int64_t bytes) {
  return shared_block(cuda_problem().empty() ? pinned_allocator() : cpu_allocator(), bytes);
}

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, int64_t bytes) {
  if (bytes == 0) return;
  if (to_device.is_cpu() && from_device.is_cpu()) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  } else if (to_device.is_cpu()) {
    cuda::copy_to_host(to, from, bytes);
  } else if (from_device.is_cpu()) {
    cuda::copy_to_device(to, from, bytes);
  } else {
    cuda::copy_on_device(to, from, bytes);
  }
}

void zero_bytes(void* to, Device device, int64_t bytes) {
  if (bytes == 0) return;
  if (device.is_cpu()) {
    std::memset(to, 0, static_cast<size_t>(bytes));
  } else {
    cuda::zero_on_device(to, bytes);
  }
}

void synchronize(Device device) {
  if (device.is_cuda()) cuda::synchronize();
}

int64_t host_waits() {
  return cuda_problem().empty() ? cuda::host_waits() : 0;
}

#else

std::string cuda_problem() {
  return "this build has no CUDA (configure with -DMINNOW_CUDA=ON)";
}

std::shared_ptr<std::byte> allocate_pinned(int64_t bytes) {
  return shared_block(cpu_allocator(), bytes);
}

void copy_bytes(void* to, Device, const void* from, Device, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

void zero_bytes(void* to, Device, int64_t bytes) {
  if (bytes > 0) std::memset(to, 0, static_cast<size_t>(bytes));
}

void synchronize(Device) {}

int64_t host_waits() {
  return 0;
}

#endif

}  // namespace minnow
