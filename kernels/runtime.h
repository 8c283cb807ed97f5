#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

/// The few things that the engine asks of the CUDA runtime. runtime.cu has them for a real device,
/// host/runtime.cpp for device code that the processor executes: there everything is done when the
/// call returns.
namespace minnow::cuda {

/// A call of CUDA or one of its libraries, or a kernel, failed. The message names the call, file,
/// line and sizes.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Why no device can be used, in one line; empty where one can.
const std::string& device_problem();

struct DeviceInfo {
  std::string name;
  std::string driver, runtime;  ///< versions, as in "13.0"
  int major = 0, minor = 0;     ///< compute capability
  int multiprocessors = 0;
  int64_t memory = 0;  ///< bytes
};
/// Throws DeviceError where device_problem() says something.
const DeviceInfo& device_info();

/// nullptr where there is not enough memory.
void* device_allocate(int64_t bytes);
void device_free(void* memory);
int64_t free_device_memory();

/// Page-locked host memory, which copies read and write while the host goes on; nullptr where there
/// is not enough.
void* pinned_allocate(int64_t bytes);
void pinned_free(void* memory);

/// In stream order. `from` may change as soon as the call returns.
void copy_to_device(void* to, const void* from, int64_t bytes);
/// In stream order; `to` is pinned, and holds the bytes once a later event has passed.
void copy_to_pinned(void* to, const void* from, int64_t bytes);
void copy_on_device(void* to, const void* from, int64_t bytes);
void zero_on_device(void* to, int64_t bytes);
/// Waits for the device.
void copy_to_host(void* to, const void* from, int64_t bytes);

/// Starts a copy of pinned memory beside the kernels, in a stream of its own, once the kernels that
/// were started before this call are done: they may still read the memory's last content. Kernels
/// started after finish_upload() see it.
void start_upload(void* to, const void* pinned, int64_t bytes);
void finish_upload();

/// A point in the stream of kernels.
class Event {
 public:
  Event();
  ~Event();  // NOLINT(performance-trivially-destructible): not on a device
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record();
  /// The host waits until the point has been passed.
  void wait() const;

 private:
  void* event_ = nullptr;
};

/// Waits until the device has done everything.
void synchronize();

/// How often the host has waited for the device (copy_to_host, Event::wait, synchronize): a step
/// must not raise it.
int64_t host_waits();

/// Device memory for the span of one kernel's launcher; it may be reused as soon as the object is
/// gone, by what comes later in the stream.
class Scratch {
 public:
  explicit Scratch(int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

  /// Where the memory comes from: the engine's caching allocator puts itself here.
  static void* (*take)(int64_t bytes);
  static void (*give)(void* memory, int64_t bytes);

 private:
  void* memory_;
  int64_t bytes_;
};

}  // namespace minnow::cuda
