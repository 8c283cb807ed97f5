#include "kernels/host/block_memory.h"

#include <fmt/format.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstring>

#include "kernels/runtime.h"

namespace minnow::cuda::host {

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): every block fills its memory itself
BlockMemory::BlockMemory() {
  ASAN_POISON_MEMORY_REGION(memory_, sizeof(memory_));
}

void BlockMemory::begin(int64_t dynamic_bytes) {
  ASAN_POISON_MEMORY_REGION(memory_, static_cast<size_t>(end_));
  arrays_.clear();
  static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  take(gap, dynamic_bytes);
}

void* BlockMemory::find(const void* key, int64_t bytes, int64_t alignment) {
  for (const Array& array : arrays_)
    if (array.key == key) return array.memory;

  // Eight bytes off where the type allows it: a device promises no more alignment than the type's,
  // and UndefinedBehaviorSanitizer reports who takes an array of float for one of float4.
  const int64_t step = std::max<int64_t>(alignment, 16);
  const int64_t offset = (end_ + gap + step - 1) / step * step + (alignment <= 8 ? 8 : 0);
  static_bytes_ += bytes;
  if (static_bytes_ > most_static_bytes || static_bytes_ + dynamic_bytes_ > most_bytes ||
      offset + bytes + gap > static_cast<int64_t>(sizeof(memory_)))
    throw DeviceError(
        fmt::format("{} bytes of static and {} of dynamic shared memory: a block has {} of the "
                    "former, {} in all",
                    static_bytes_, dynamic_bytes_, most_static_bytes, most_bytes));
  arrays_.push_back({key, take(offset, bytes)});
  return arrays_.back().memory;
}

void* BlockMemory::take(int64_t offset, int64_t bytes) {
  char* memory = memory_ + offset;
  ASAN_UNPOISON_MEMORY_REGION(memory, static_cast<size_t>(bytes));
  std::memset(memory, 0xFF, static_cast<size_t>(bytes));
  end_ = offset + bytes;
  return memory;
}

}  // namespace minnow::cuda::host
