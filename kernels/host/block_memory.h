#pragma once

#include <cstdint>
#include <vector>

/// Whether AddressSanitizer is compiled in.
#if defined(__SANITIZE_ADDRESS__)
#define MINNOW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MINNOW_ASAN 1
#endif
#endif
#ifndef MINNOW_ASAN
#define MINNOW_ASAN 0
#endif

namespace minnow::cuda::host {

/// The shared memory of one block: an array for every key. Under AddressSanitizer each lies between
/// poisoned bytes; all start as 0xFF bytes, since on a device they start as anything.
class BlockMemory {
 public:
  static constexpr int64_t most_bytes = 227 << 10;        ///< of a block, on compute capability 9.0
  static constexpr int64_t most_static_bytes = 48 << 10;  ///< what nvcc lets a kernel declare

  BlockMemory();
  /// Forgets the arrays of the block before.
  void begin(int64_t dynamic_bytes);
  void* dynamic() { return memory_ + gap; }
  /// Throws DeviceError where the block has no room for the array.
  void* find(const void* key, int64_t bytes, int64_t alignment);

 private:
  struct Array {
    const void* key;
    void* memory;
  };
  static constexpr int64_t gap = 64;

  void* take(int64_t offset, int64_t bytes);

  std::vector<Array> arrays_;
  int64_t static_bytes_ = 0, dynamic_bytes_ = 0;
  int64_t end_ = 0;  // of what was taken of memory_
  alignas(128) char memory_[most_bytes + (64 << 10)];
};

}  // namespace minnow::cuda::host
