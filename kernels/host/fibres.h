#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

namespace minnow::cuda {

struct LaunchSite;

/// The processor as a CUDA device: blocks run one after the other, and each thread of a block is a
/// fibre, which runs until it ends or waits for others.
namespace host {

/// Runs `body` once for every thread of the grid. Throws DeviceError, with kernel, block and
/// thread, where a device would hang, read nonsense, or refuse the launch: a barrier or a warp
/// operation that some of its threads do not reach, too many threads, too much shared memory.
void run(const LaunchSite& site, const std::function<void()>& body);

/// The blocks of a grid, and the threads of a block between two barriers, run in ascending order,
/// or, where `seed` is not 0, in an order drawn from (seed, launches since this call). The
/// environment variable MINNOW_BLOCK_ORDER gives the seed that a program starts with. Returns the
/// seed before.
uint64_t set_order(uint64_t seed);

/// Kernels run so far.
int64_t launches();

/// The names of the kernels run so far. At exit they are appended, one a line, to the file that the
/// environment variable MINNOW_KERNEL_LOG names.
const std::set<std::string, std::less<>>& kernels_run();

// What language.h makes CUDA's functions of. All are called by the threads of a block.

/// Where a thread waits. As a default argument it is the place of the call.
struct Site {
  Site(const char* file = __builtin_FILE(), int line = __builtin_LINE()) : file(file), line(line) {}
  const char* file;
  int line;
};

/// Waits for the whole block; the number of threads whose predicate was true.
int barrier(const char* name, bool predicate, Site site);
/// Waits for the lanes in `mask`; the value of lane `source`.
uint64_t shuffle(const char* name, uint32_t mask, uint64_t value, int source, Site site);
/// Waits for the lanes in `mask`; those of them whose predicate was true.
uint32_t vote(const char* name, uint32_t mask, bool predicate, Site site);
int lane();

/// The block's memory of this key: filled with 0xFF bytes (NaN) when the first thread asks, and,
/// under AddressSanitizer, between poisoned bytes.
void* shared_memory(const void* key, int64_t bytes, int64_t alignment);
void* dynamic_shared_memory();

}  // namespace host
}  // namespace minnow::cuda
