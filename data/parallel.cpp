#include "data/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace minnow {

void parallel_for(int64_t n, int64_t threads, const std::function<void(int64_t)>& work) {
  if (threads == 0) threads = std::max<int64_t>(1, std::thread::hardware_concurrency());
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr trouble;
  const auto take = [&] {
    try {
      for (int64_t i = next++; i < n; i = next++) work(i);
    } catch (...) {
      next = n;
      const std::lock_guard lock(mutex);
      trouble = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int64_t t = 1; t < std::min(threads, n); ++t) helpers.emplace_back(take);
    take();
  }
  if (trouble) std::rethrow_exception(trouble);
}

}  // namespace minnow
