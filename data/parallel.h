#pragma once

#include <cstdint>
#include <functional>

namespace minnow {

/// Calls work(i) for all i of [0, n), in any order, on `threads` threads (0 = one per processor).
/// After work has thrown, one of the exceptions is thrown here once all threads are done.
void parallel_for(int64_t n, int64_t threads, const std::function<void(int64_t)>& work);

}  // namespace minnow
