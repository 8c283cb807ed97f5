#include "kernels/host/fibres.h"

#include <fmt/format.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/cuda.h"
#include "kernels/host/block_memory.h"
#include "kernels/host/device_access.h"
#include "kernels/host/report.h"
#include "kernels/random.h"
#include "kernels/runtime.h"

namespace minnow::cuda::host {
namespace {

namespace context = boost::context::detail;

constexpr int most_threads = 1024;
constexpr size_t stack_bytes = 128 << 10;

struct Fibre;

/// A CUDA thread of the block that runs.
struct Thread : Wait {
  Fibre* fibre = nullptr;
  // What it gives the lanes that it waits for, and what it gets from them. `source` is the lane
  // that a shuffle reads; it is negative in a vote.
  uint64_t value = 0, result = 0;
  int source = 0;
};

/// A stack on which CUDA threads run, the next when one has ended. The stack that launched the
/// kernel is a fibre, too.
struct Fibre {
  context::fcontext_t context = nullptr;
  const void* stack = nullptr;
  size_t size = 0;
  void* fake_stack = nullptr;  // where AddressSanitizer keeps its locals
  Thread* thread = nullptr;
  Fibre* idle = nullptr;  // the next in the list of those that are
};

/// Thrown where a thread waits, to end it, once its block has failed.
struct Abandoned {};

/// For functions that every switch goes through: AddressSanitizer would give each fibre's calls of
/// them memory of their own, which the processor's caches do not hold.
#define MINNOW_HOT __attribute__((no_sanitize_address))

// The launch that runs, if any: one at a time.
std::mutex launch_mutex;
thread_local bool launching = false;
struct Launching {
  Launching() { launching = true; }
  ~Launching() { launching = false; }
};
const LaunchSite* launch_site;
const std::function<void()>* kernel;
int64_t launch_count = 0;

// The block that runs.
int size;
Thread threads[most_threads];
int order[most_threads];                       // in which the threads start
uint32_t warp_waits[most_threads / warpSize];  // the lanes that wait for lanes
int started, ended;
int at_barrier, predicates;
Fibre* ready[most_threads];  // a ring: their thread may go on
unsigned ready_begin, ready_end;
bool abandoned;
std::exception_ptr failure;
BlockMemory memory;

Fibre launcher;
Fibre* current = &launcher;
std::deque<Fibre> fibres;  // all others; made once and kept: AddressSanitizer's part is dear
Fibre* idle;               // a list: their last thread has ended

uint64_t seed_from_environment() {
  const char* text = std::getenv("MINNOW_BLOCK_ORDER");
  return text ? std::strtoull(text, nullptr, 10) : 0;
}
uint64_t order_seed = seed_from_environment();
uint64_t order_launches = 0, order_draws = 0;

/// Brings the values at(0), ..., at(n - 1) into an order drawn from (seed, launch, draw), where one
/// is wanted.
template <class At>
void shuffle_order(uint64_t n, At at) {
  if (order_seed == 0) return;
  for (uint64_t i = n; i > 1; --i) {
    const Random4 random =
        philox4x32({{static_cast<uint32_t>(order_draws++), static_cast<uint32_t>(order_draws >> 32),
                     static_cast<uint32_t>(order_launches), 0}},
                   static_cast<uint32_t>(order_seed), static_cast<uint32_t>(order_seed >> 32));
    std::swap(at(i - 1), at(random.word[0] % i));
  }
}

// ---- Changing from fibre to fibre ----

/// The first thing that a fibre does when it is entered: keeps where `left` goes on.
MINNOW_HOT void enter(context::transfer_t from, [[maybe_unused]] void* fake_stack) {
  Fibre& left = *static_cast<Fibre*>(from.data);
  left.context = from.fctx;
#if MINNOW_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &left.stack, &left.size);
#endif
}

MINNOW_HOT void go_to(Fibre& to) {
  Fibre& from = *current;
  if (&to == &from) return;
  current = &to;
  if (to.thread) threadIdx = to.thread->index;
#if MINNOW_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.size);
#endif
  enter(context::jump_fcontext(to.context, &from), from.fake_stack);
}

MINNOW_HOT void run_thread(Thread& thread) {
  thread.fibre = current;
  thread.ended = false;
  current->thread = &thread;
  threadIdx = thread.index;
  try {
    (*kernel)();
  } catch (const Abandoned&) {
  } catch (...) {
    failure = std::current_exception();
    abandoned = true;
  }
  thread.ended = true;
  ++ended;
}

Fibre& next();

/// What a fibre does: threads that wait no longer come before threads that have not started, so
/// that warps end, and leave their stacks, as early as they can.
MINNOW_HOT void work(context::transfer_t from) {
  enter(from, nullptr);
  for (;;) {
    if (!abandoned && ready_begin == ready_end && started < size) {
      run_thread(threads[order[started++]]);
    } else {
      current->thread = nullptr;
      current->idle = idle;
      idle = current;
      go_to(next());
    }
  }
}

[[gnu::noinline]] Fibre& make_fibre() {
  static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  // The lowest page stays without access, so that a stack which overflows is noticed.
  void* memory = mmap(nullptr, page + stack_bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw DeviceError("host execution: no memory for a fibre's stack");
  char* stack = static_cast<char*>(memory) + page;
  if (mprotect(stack, stack_bytes, PROT_READ | PROT_WRITE) != 0)
    throw DeviceError("host execution: no memory for a fibre's stack");
  return fibres.emplace_back(
      Fibre{.context = context::make_fcontext(stack + stack_bytes, stack_bytes, work),
            .stack = stack,
            .size = stack_bytes});
}

MINNOW_HOT Fibre& next() {
  if (abandoned) return launcher;
  if (ready_begin != ready_end) return *ready[ready_begin++ % most_threads];
  if (started == size) return launcher;
  if (!idle) return make_fibre();
  Fibre& fibre = *idle;
  idle = fibre.idle;
  return fibre;
}

// ---- Waiting ----

MINNOW_HOT void release(const Thread& thread) {
  ready[ready_end++ % most_threads] = thread.fibre;
}

/// Those from place `first` of the ring on have been released together.
[[gnu::noinline]] void shuffle_released(unsigned first) {
  shuffle_order(ready_end - first,
                [=](uint64_t i) -> Fibre*& { return ready[(first + i) % most_threads]; });
}

MINNOW_HOT uint64_t wait(Thread& thread) {
  go_to(next());
  if (abandoned) throw Abandoned();
  return thread.result;
}

[[noreturn, gnu::noinline]] void refuse(const Thread& thread, const char* why) {
  throw DeviceError(fmt::format("{}: {}: {}", place(*launch_site, thread), waits_at(thread), why));
}

/// Gives those lanes of a warp that `mask` names what they have waited for.
MINNOW_HOT void exchange(Thread* warp, uint32_t mask) {
  uint32_t ballot = 0;
  for (int i = 0; i < warpSize; ++i)
    if ((mask >> i & 1) && warp[i].value != 0) ballot |= 1u << i;
  for (int i = 0; i < warpSize; ++i) {
    if (!(mask >> i & 1)) continue;
    const int source = warp[i].source;
    if (source >= 0 && !(mask >> source & 1)) refuse(warp[i], "reads a lane that the mask lacks");
    warp[i].result = source < 0 ? ballot : warp[source].value;
  }
}

MINNOW_HOT uint64_t wait_for_lanes(const char* name, uint32_t mask, uint64_t value, int source,
                                   Site site) {
  Thread& me = *current->thread;
  me.name = name;
  me.site = site;
  me.mask = mask;
  me.value = value;
  me.source = source;
  const auto mine = static_cast<unsigned>(&me - threads), bit = 1u << mine % warpSize;
  Thread* const warp = &me - mine % warpSize;
  const int64_t lanes = threads + size - warp;  // 32, but for the last warp
  if (!(mask & bit)) refuse(me, "the mask lacks the lane that calls");
  if (lanes < warpSize && mask >> lanes != 0) refuse(me, "the mask names lanes beyond the block");
  uint32_t& waits = warp_waits[mine / warpSize];
  waits |= bit;
  bool complete = (waits & mask) == mask;
  for (int i = 0; complete && i < warpSize; ++i) complete = !(mask >> i & 1) || warp[i].with(me);
  if (complete) {
    exchange(warp, mask);
    waits &= ~mask;
    const unsigned first = ready_end;
    for (int i = 0; i < warpSize; ++i)
      if (mask >> i & 1) release(warp[i]);
    shuffle_released(first);
  }
  return wait(me);
}

// ---- Launches ----

/// Ends the threads of a block that has failed; each runs its destructors.
void abandon() {
  abandoned = true;
  ready_begin = ready_end = 0;
  for (int i = 0; i < started; ++i) {
    Thread& thread = threads[static_cast<size_t>(order[static_cast<size_t>(i)])];
    if (!thread.ended) go_to(*thread.fibre);
  }
}

void run_block(uint3 index) {
  blockIdx = index;
  started = ended = at_barrier = predicates = 0;
  abandoned = false;
  std::fill(std::begin(warp_waits), std::end(warp_waits), 0);
  memory.begin(launch_site->shared);
  shuffle_order(static_cast<uint64_t>(size), [](uint64_t i) -> int& { return order[i]; });
  go_to(next());
  if (ended == size && !failure) return;
  if (!failure)
    failure = std::make_exception_ptr(
        DeviceError(divergence(*launch_site, std::vector<Wait>(threads, threads + size))));
  abandon();
  std::rethrow_exception(std::exchange(failure, nullptr));
}

void check(const LaunchSite& site) {
  const dim3 grid = site.grid, block = site.block;
  const uint64_t in_block = uint64_t{block.x} * block.y * block.z;
  if (grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535 && block.x <= 1024 &&
      block.y <= 1024 && block.z <= 64 && in_block >= 1 && in_block <= most_threads &&
      site.shared >= 0 && site.shared <= BlockMemory::most_bytes)
    return;
  throw DeviceError(fmt::format(
      "{} ({}:{}): no device runs a grid of ({}, {}, {}) blocks of ({}, {}, {}) threads with {} "
      "bytes of shared memory",
      kernel_name(site), site.file, site.line, grid.x, grid.y, grid.z, block.x, block.y, block.z,
      site.shared));
}

struct KernelLog {
  std::set<std::string, std::less<>> names;
  ~KernelLog() {
    const char* path = std::getenv("MINNOW_KERNEL_LOG");
    FILE* file = path && !names.empty() ? std::fopen(path, "a") : nullptr;
    if (!file) return;
    std::string lines;
    for (const std::string& name : names) lines += name + "\n";
    std::fwrite(lines.data(), 1, lines.size(), file);
    std::fclose(file);
  }
} kernel_log;

}  // namespace

void run(const LaunchSite& site, const std::function<void()>& body) {
  check(site);
  if (launching) throw DeviceError(fmt::format("{}: started by a kernel", kernel_name(site)));
  const std::lock_guard lock(launch_mutex);
  const Launching here;
  const DeviceAccess access;
  ++launch_count;
  if (const auto name = kernel_name(site); !kernel_log.names.contains(name))
    kernel_log.names.emplace(name);

  launch_site = &site;
  kernel = &body;
  gridDim = site.grid;
  blockDim = site.block;
  size = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
  std::iota(order, order + size, 0);
  auto* thread = threads;
  for (unsigned z = 0; z < blockDim.z; ++z)
    for (unsigned y = 0; y < blockDim.y; ++y)
      for (unsigned x = 0; x < blockDim.x; ++x) (thread++)->index = {x, y, z};

  const int64_t row = gridDim.x, blocks = row * gridDim.y * gridDim.z;
  std::vector<int64_t> block_order;
  if (order_seed != 0) {
    ++order_launches;
    order_draws = 0;
    block_order.resize(static_cast<size_t>(blocks));
    std::iota(block_order.begin(), block_order.end(), 0);
    shuffle_order(block_order.size(), [&](uint64_t i) -> int64_t& { return block_order[i]; });
  }
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t block = order_seed != 0 ? block_order[static_cast<size_t>(i)] : i;
    run_block({static_cast<unsigned>(block % row), static_cast<unsigned>(block / row % gridDim.y),
               static_cast<unsigned>(block / row / gridDim.y)});
  }
}

uint64_t set_order(uint64_t seed) {
  order_launches = 0;
  return std::exchange(order_seed, seed);
}

int64_t launches() {
  return launch_count;
}

const std::set<std::string, std::less<>>& kernels_run() {
  return kernel_log.names;
}

MINNOW_HOT int barrier(const char* name, bool predicate, Site site) {
  Thread& me = *current->thread;
  me.name = name;
  me.site = site;
  me.mask = 0;
  predicates += predicate;
  bool complete = ++at_barrier == size;
  for (int i = 0; complete && i < size; ++i) complete = threads[i].with(me);
  if (complete) {
    const unsigned first = ready_end;
    for (int i = 0; i < size; ++i) {
      threads[i].result = static_cast<uint64_t>(predicates);
      release(threads[i]);
    }
    at_barrier = predicates = 0;
    shuffle_released(first);
  }
  return static_cast<int>(wait(me));
}

uint64_t shuffle(const char* name, uint32_t mask, uint64_t value, int source, Site site) {
  return wait_for_lanes(name, mask, value, source, site);
}

uint32_t vote(const char* name, uint32_t mask, bool predicate, Site site) {
  return static_cast<uint32_t>(wait_for_lanes(name, mask, predicate, -1, site));
}

MINNOW_HOT int lane() {
  return static_cast<int>(current->thread - threads) % warpSize;
}

MINNOW_HOT void* shared_memory(const void* key, int64_t bytes, int64_t alignment) {
  try {
    return memory.find(key, bytes, alignment);
  } catch (const DeviceError& error) {
    throw DeviceError(place(*launch_site, *current->thread) + ": " + error.what());
  }
}

void* dynamic_shared_memory() {
  return memory.dynamic();
}

}  // namespace minnow::cuda::host
