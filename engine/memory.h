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

/// A block of device memory; goes back to the allocator's free list when the last owner is gone. On
/// a GPU it may then be reused at once: all kernels run in one stream, in order. RunError where
/// there is not enough memory.
std::shared_ptr<std::byte> allocate(int64_t bytes, Device device);

/// Host memory that copies to and from the GPU read and write while the host goes on; plain memory
/// where no GPU can be used.
std::shared_ptr<std::byte> allocate_pinned(int64_t bytes);

/// Copies between any two devices, in the order of the kernels; from the GPU to the host it waits
/// for them.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, int64_t bytes);
void zero_bytes(void* to, Device device, int64_t bytes);

MemoryStats memory_stats(Device device);
/// Sets the high-water mark to what is in use now.
void reset_peak_memory(Device device);
/// Returns the blocks kept for reuse to the system.
void release_cached_memory(Device device);
/// Waits until everything that was asked of the device is done; for clocks.
void synchronize(Device device);
/// How often the host has waited for the GPU so far.
int64_t host_waits();

}  // namespace minnow
