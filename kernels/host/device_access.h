#pragma once

namespace minnow::cuda::host {

/// Device memory can be read and written, by every thread of the process, while one of these lives;
/// otherwise touching it ends the program, as it would with a real device. Kernels and the copies
/// of runtime.h have their own: it is for the wrappers that hand device pointers to libraries of
/// the processor.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace minnow::cuda::host
