#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/device.h"

namespace minnow {

/// Bytes, as the allocator of one device sees them.
struct MemoryStats {
  int64_t in_use = 0;    ///< held by live tensors
  int64_t peak = 0;      ///< high-water mark of in_use since the last reset_peak_memory
  int64_t reserved = 0;  ///< in_use plus freed blocks kept for reuse
};

/// A block of device memory; goes back to the allocator's free list when the last owner is gone.
std::shared_ptr<std::byte> allocate(int64_t bytes, Device device);

MemoryStats memory_stats(Device device);
/// Sets the high-water mark to what is in use now.
void reset_peak_memory(Device device);
/// Returns the blocks kept for reuse to the system.
void release_cached_memory(Device device);

}  // namespace minnow
