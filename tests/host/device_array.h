#pragma once

#include <cstdint>
#include <vector>

#include "kernels/runtime.h"

namespace minnow::test {

/// Device memory for a test's kernels.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t n) : n_(n), data_(static_cast<T*>(cuda::device_allocate(bytes()))) {}
  explicit DeviceArray(const std::vector<T>& values)
      : DeviceArray(static_cast<int64_t>(values.size())) {
    cuda::copy_to_device(data_, values.data(), bytes());
  }
  ~DeviceArray() { cuda::device_free(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(static_cast<size_t>(n_));
    cuda::copy_to_host(values.data(), data_, bytes());
    return values;
  }

 private:
  int64_t bytes() const { return n_ * static_cast<int64_t>(sizeof(T)); }

  int64_t n_;
  T* data_;
};

}  // namespace minnow::test
