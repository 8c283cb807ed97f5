#include "kernels/runtime.h"

#include <fmt/format.h>

namespace minnow::cuda {

void* (*Scratch::take)(int64_t bytes) = device_allocate;
void (*Scratch::give)(void* memory, int64_t bytes) = [](void* memory, int64_t) {
  device_free(memory);
};

Scratch::Scratch(int64_t bytes) : memory_(bytes > 0 ? take(bytes) : nullptr), bytes_(bytes) {
  if (bytes > 0 && !memory_)
    throw DeviceError(fmt::format("no device memory for {} bytes of a kernel's scratch", bytes));
}

Scratch::~Scratch() {
  if (memory_) give(memory_, bytes_);
}

}  // namespace minnow::cuda
