#include "kernels/runtime.h"

#include <sanitizer/asan_interface.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "kernels/host/device_access.h"

namespace minnow::cuda {
namespace {

constexpr int64_t gigabyte = int64_t{1} << 30;

/// Device memory: addresses of its own, with access while a DeviceAccess lives. Under
/// AddressSanitizer all that is not allocated is poisoned.
class Arena {
 public:
  Arena() {
    const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
    size_ = std::min(32 * gigabyte, machine / 2) / chunk * chunk;
    void* memory = mmap(nullptr, static_cast<size_t>(size_ + chunk), PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw DeviceError("host execution: no addresses for device memory");
    const auto address = reinterpret_cast<uintptr_t>(memory);
    base_ = static_cast<char*>(memory) + (chunk - address % chunk) % chunk;
    // Large pages make the change of access, which visits every page in use, cheap.
    madvise(base_, static_cast<size_t>(size_), MADV_HUGEPAGE);
  }

  void open() {
    const std::lock_guard lock(mutex_);
    if (depth_++ == 0) protect(0, in_use_, PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--depth_ == 0) protect(0, in_use_, PROT_NONE);
  }

  void* allocate(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (bytes < 0 || bytes > size_) return nullptr;
    int64_t begin = alignment;
    for (const auto& [other, length] : live_) {  // the first gap that is large enough
      if (begin + bytes + gap <= other) break;
      begin = (other + length + gap + alignment - 1) / alignment * alignment;
    }
    const int64_t end = begin + bytes + gap;
    if (end > size_) return nullptr;
    if (end > in_use_) {
      const int64_t grown = (end + chunk - 1) / chunk * chunk;
      ASAN_POISON_MEMORY_REGION(base_ + in_use_, static_cast<size_t>(grown - in_use_));
      if (depth_ > 0) protect(in_use_, grown - in_use_, PROT_READ | PROT_WRITE);
      in_use_ = grown;
    }
    live_.emplace(begin, bytes);
    live_bytes_ += bytes;
    ASAN_UNPOISON_MEMORY_REGION(base_ + begin, static_cast<size_t>(bytes));
    return base_ + begin;
  }

  void free(void* memory) {
    const std::lock_guard lock(mutex_);
    const auto found = live_.find(static_cast<char*>(memory) - base_);
    if (found == live_.end()) {
      std::fputs("device_free: no memory that device_allocate gave\n", stderr);
      std::abort();
    }
    ASAN_POISON_MEMORY_REGION(memory, static_cast<size_t>(found->second));
    live_bytes_ -= found->second;
    live_.erase(found);
  }

  bool holds(const void* address) const { return address >= base_ && address < base_ + size_; }
  int64_t size() const { return size_; }
  int64_t unused() {
    const std::lock_guard lock(mutex_);
    return size_ - live_bytes_;
  }

 private:
  static constexpr int64_t chunk = 2 << 20, alignment = 256, gap = 64;

  void protect(int64_t begin, int64_t bytes, int access) {
    if (bytes == 0 || mprotect(base_ + begin, static_cast<size_t>(bytes), access) == 0) return;
    std::perror("host execution: mprotect of device memory");
    std::abort();
  }

  std::mutex mutex_;
  char* base_ = nullptr;
  int64_t size_ = 0;
  int64_t in_use_ = 0;               // bytes from base_ that were ever allocated, in whole chunks
  int depth_ = 0;                    // DeviceAccess objects alive
  std::map<int64_t, int64_t> live_;  // offset from base_ -> bytes
  int64_t live_bytes_ = 0;
};

Arena& arena();

struct sigaction signal_before;

/// Says what has happened before the program ends as it would have anyway.
void explain_fault(int signal, siginfo_t* info, void* context) {
  static const char text[] = "host code touched device memory\n";
  if (arena().holds(info->si_addr) && write(STDERR_FILENO, text, sizeof(text) - 1) < 0) _exit(1);
  if (signal_before.sa_flags & SA_SIGINFO) {
    signal_before.sa_sigaction(signal, info, context);
  } else {
    sigaction(signal, &signal_before, nullptr);  // the access is tried again, and fails for good
  }
}

Arena& arena() {
  // Never destroyed: tensors may outlive every static object.
  static Arena* const instance = [] {
    struct sigaction action = {};
    action.sa_sigaction = explain_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &signal_before);
    return new Arena;
  }();
  return *instance;
}

std::atomic<int64_t> waits = 0;

void copy(void* to, const void* from, int64_t bytes) {
  const host::DeviceAccess access;
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace

host::DeviceAccess::DeviceAccess() {
  arena().open();
}
host::DeviceAccess::~DeviceAccess() {
  arena().close();
}

const std::string& device_problem() {
  static const std::string none;
  return none;
}

const DeviceInfo& device_info() {
  // So few multiprocessors that kernels which loop over more blocks than the device holds do loop.
  static const DeviceInfo info = {.name = "no GPU: this processor, executing the CUDA sources",
                                  .driver = "none",
                                  .runtime = "none",
                                  .multiprocessors = 4,
                                  .memory = arena().size()};
  return info;
}

void* device_allocate(int64_t bytes) {
  void* memory = arena().allocate(bytes);
  if (!memory) return nullptr;
  const host::DeviceAccess access;
  std::memset(memory, 0xFF, static_cast<size_t>(bytes));  // NaN for who reads before writing
  return memory;
}

void device_free(void* memory) {
  if (memory) arena().free(memory);
}

int64_t free_device_memory() {
  return arena().unused();
}

void* pinned_allocate(int64_t bytes) {
  return ::operator new (static_cast<size_t>(bytes), std::align_val_t{64}, std::nothrow);
}

void pinned_free(void* memory) {
  ::operator delete (memory, std::align_val_t{64});
}

void copy_to_device(void* to, const void* from, int64_t bytes) {
  copy(to, from, bytes);
}
void copy_to_pinned(void* to, const void* from, int64_t bytes) {
  copy(to, from, bytes);
}
void copy_on_device(void* to, const void* from, int64_t bytes) {
  copy(to, from, bytes);
}

void zero_on_device(void* to, int64_t bytes) {
  const host::DeviceAccess access;
  if (bytes > 0) std::memset(to, 0, static_cast<size_t>(bytes));
}

void copy_to_host(void* to, const void* from, int64_t bytes) {
  ++waits;
  copy(to, from, bytes);
}

void start_upload(void* to, const void* pinned, int64_t bytes) {
  copy(to, pinned, bytes);
}
void finish_upload() {}

Event::Event() = default;
Event::~Event() = default;
void Event::record() {
  event_ = this;
}
void Event::wait() const {
  ++waits;
}

void synchronize() {
  ++waits;
}

int64_t host_waits() {
  return waits;
}

}  // namespace minnow::cuda
