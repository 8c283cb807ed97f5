#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string_view>

#include "kernels/cuda.h"
#include "kernels/cuda_check.h"
#include "kernels/runtime.h"

namespace minnow::cuda {
namespace {

[[noreturn]] void fail(std::string_view what, std::string_view why, const char* file, int line) {
  std::string message(what);
  message.append(" failed: ").append(why).append(" [").append(file).append(":");
  throw DeviceError(message + std::to_string(line) + "]");
}

}  // namespace

void check_status(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // or the next kernel's check would report it once more
  fail(call, std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status), file, line);
}

void check_status(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(call, std::string(cublasGetStatusName(status)) + ", " + cublasGetStatusString(status), file,
       line);
}

namespace {

/// 13000 is version 13.0.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

struct Versions {
  Versions() {
    cudaDriverGetVersion(&driver);  // stays 0 without a driver
    cudaRuntimeGetVersion(&runtime);
  }
  int driver = 0, runtime = 0;
};

std::string find_problem() {
  const Versions version;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (version.driver == 0) return "no NVIDIA driver is installed";
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver is too old: it goes up to CUDA " + version_text(version.driver) +
           ", this program needs " + version_text(version.runtime);
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    return "there is no CUDA device (the driver, for CUDA " + version_text(version.driver) +
           ", is installed)";
  }
  if (status != cudaSuccess) {
    return std::string("CUDA does not start: ") + cudaGetErrorString(status);
  }
  cudaDeviceProp device;
  MINNOW_CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  if (device.major < 8) {
    return std::string(device.name) + " has compute capability " + std::to_string(device.major) +
           "." + std::to_string(device.minor) + "; 8.0 or higher is needed";
  }
  return {};
}

DeviceInfo describe_device() {
  if (!device_problem().empty()) throw DeviceError(device_problem());
  const Versions version;
  cudaDeviceProp device;
  MINNOW_CUDA_CHECK(cudaGetDeviceProperties(&device, 0));
  return {.name = device.name,
          .driver = version_text(version.driver),
          .runtime = version_text(version.runtime),
          .major = device.major,
          .minor = device.minor,
          .multiprocessors = device.multiProcessorCount,
          .memory = static_cast<int64_t>(device.totalGlobalMem)};
}

// What is destroyed when the program ends may find CUDA gone already: the status of the calls that
// free things is of no use to anyone.

class Stream {
 public:
  Stream() { MINNOW_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Mark {
 public:
  Mark() { MINNOW_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  ~Mark() { cudaEventDestroy(event_); }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Pinned memory through which ordinary host memory travels: CUDA's own copy of it may wait for the
/// stream. Slots are used in turn; one is waited for only when the device is all slots behind.
class Staging {
 public:
  Staging() : memory_(static_cast<unsigned char*>(pinned_allocate(slots * slot_bytes))) {
    if (memory_ == nullptr) throw DeviceError("no page-locked memory for copies to the device");
  }
  ~Staging() { pinned_free(memory_); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void copy(unsigned char* to, const unsigned char* from, int64_t bytes, cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    for (int64_t done = 0; done < bytes; done += slot_bytes) {
      const auto size = static_cast<size_t>(std::min(slot_bytes, bytes - done));
      unsigned char* slot = memory_ + next_ * slot_bytes;
      MINNOW_CUDA_CHECK(cudaEventSynchronize(free_[next_]));  // at once if never recorded
      std::memcpy(slot, from + done, size);
      MINNOW_CUDA_CHECK(cudaMemcpyAsync(to + done, slot, size, cudaMemcpyHostToDevice, stream));
      MINNOW_CUDA_CHECK(cudaEventRecord(free_[next_], stream));
      next_ = (next_ + 1) % slots;
    }
  }

 private:
  static constexpr int64_t slots = 64, slot_bytes = 64 * 1024;
  std::mutex mutex_;
  unsigned char* memory_;
  Mark free_[slots];
  int64_t next_ = 0;
};

struct Context {
  Stream compute, copies;
  Mark kernels_done, upload_done;
  Staging staging;
};

Context& context() {
  device_info();  // says first why there may be none
  static Context only;
  return only;
}

std::atomic<int64_t> waits{0};

void copy_async(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, cudaStream_t in) {
  if (bytes == 0) return;
  MINNOW_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, in));
}

/// "name_kernel<float, true>" of the launch's text, which goes on with the arguments.
std::string_view kernel_name(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    depth += (text[i] == '<') - (text[i] == '>');
    if (text[i] == ',' && depth == 0) return text.substr(0, i);
  }
  return text;
}

void check_start(cudaError_t status, const LaunchSite& site) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  const auto extent = [](dim3 d) {
    return std::to_string(d.x) + " x " + std::to_string(d.y) + " x " + std::to_string(d.z);
  };
  fail(std::string(kernel_name(site.text)) + " with " + extent(site.grid) + " blocks of " +
           extent(site.block) + " threads and " + std::to_string(site.shared) +
           " bytes of shared memory",
       cudaGetErrorString(status), site.file, site.line);
}

}  // namespace

const std::string& device_problem() {
  static const std::string problem = find_problem();
  return problem;
}

const DeviceInfo& device_info() {
  static const DeviceInfo info = describe_device();
  return info;
}

cudaStream_t stream() {
  return context().compute;
}

void allow_shared(const void* kernel, const LaunchSite& site) {
  check_start(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(site.shared)),
              site);
}

void check_launch(const LaunchSite& site) {
  check_start(cudaPeekAtLastError(), site);
}

void* device_allocate(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  MINNOW_CUDA_CHECK(status);
  return memory;
}

void device_free(void* memory) {
  cudaFree(memory);
}

int64_t free_device_memory() {
  size_t free = 0, total = 0;
  MINNOW_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(free);
}

void* pinned_allocate(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status =
      cudaMallocHost(&memory, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  MINNOW_CUDA_CHECK(status);
  return memory;
}

void pinned_free(void* memory) {
  cudaFreeHost(memory);
}

void copy_to_device(void* to, const void* from, int64_t bytes) {
  context().staging.copy(static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from),
                         bytes, stream());
}

void copy_to_pinned(void* to, const void* from, int64_t bytes) {
  copy_async(to, from, bytes, cudaMemcpyDeviceToHost, stream());
}

void copy_on_device(void* to, const void* from, int64_t bytes) {
  copy_async(to, from, bytes, cudaMemcpyDeviceToDevice, stream());
}

void zero_on_device(void* to, int64_t bytes) {
  if (bytes == 0) return;
  MINNOW_CUDA_CHECK(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), stream()));
}

void copy_to_host(void* to, const void* from, int64_t bytes) {
  copy_async(to, from, bytes, cudaMemcpyDeviceToHost, stream());
  ++waits;
  MINNOW_CUDA_CHECK(cudaStreamSynchronize(stream()));
}

void start_upload(void* to, const void* pinned, int64_t bytes) {
  Context& c = context();
  MINNOW_CUDA_CHECK(cudaEventRecord(c.kernels_done, c.compute));
  MINNOW_CUDA_CHECK(cudaStreamWaitEvent(c.copies, c.kernels_done));
  copy_async(to, pinned, bytes, cudaMemcpyHostToDevice, c.copies);
}

void finish_upload() {
  Context& c = context();
  MINNOW_CUDA_CHECK(cudaEventRecord(c.upload_done, c.copies));
  MINNOW_CUDA_CHECK(cudaStreamWaitEvent(c.compute, c.upload_done));
}

Event::Event() {
  cudaEvent_t event = nullptr;
  MINNOW_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  event_ = event;
}

Event::~Event() {
  cudaEventDestroy(static_cast<cudaEvent_t>(event_));
}

void Event::record() {
  MINNOW_CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(event_), stream()));
}

void Event::wait() const {
  ++waits;
  MINNOW_CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event_)));
}

void synchronize() {
  ++waits;
  MINNOW_CUDA_CHECK(cudaDeviceSynchronize());
}

int64_t host_waits() {
  return waits;
}

}  // namespace minnow::cuda
