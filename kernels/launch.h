#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/bfloat16.h"

/// The thin device choice: every op reaches its kernel through this line, as in
/// MINNOW_KERNEL(x.device(), layernorm_forward<T>)(rows, width, ...), where T is the type that
/// dispatch_float chose. A build without CUDA has the CPU half only; bfloat16 has only the CUDA
/// half.
#if MINNOW_CUDA
#define MINNOW_KERNEL(device, ...)                                                              \
  [minnow_cuda = (device).is_cuda()](auto... args) {                                            \
    if constexpr (std::is_same_v<T, ::minnow::bfloat16>) {                                      \
      ::minnow::cuda::__VA_ARGS__(args...);                                                     \
    } else {                                                                                    \
      minnow_cuda ? ::minnow::cuda::__VA_ARGS__(args...) : ::minnow::cpu::__VA_ARGS__(args...); \
    }                                                                                           \
  }
/// The same for kernels whose CPU half has every type.
#define MINNOW_ON(device, ...) \
  ((device).is_cuda() ? ::minnow::cuda::__VA_ARGS__ : ::minnow::cpu::__VA_ARGS__)
#else
#define MINNOW_KERNEL(device, ...) (::minnow::cpu::__VA_ARGS__)
#define MINNOW_ON(device, ...) (::minnow::cpu::__VA_ARGS__)
#endif

namespace minnow::cpu {

/// Calls f(begin, end) on disjoint ranges that cover [0, n), one range a thread, none shorter than
/// `grain` but the last. Inside another parallel region it runs on the calling thread. f must not
/// throw.
template <class F>
void parallel_for(int64_t n, int64_t grain, F&& f) {
  if (n <= 0) return;
  const int64_t most = (n + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
  const int threads =
      omp_in_parallel() ? 1 : static_cast<int>(std::min<int64_t>(omp_get_max_threads(), most));
  if (threads <= 1) {
    f(int64_t{0}, n);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t count = omp_get_num_threads(), mine = omp_get_thread_num();
    const int64_t begin = n * mine / count, end = n * (mine + 1) / count;
    if (begin < end) f(begin, end);
  }
}

/// Elements that make a thread worth waking for memory-bound work.
inline constexpr int64_t element_grain = 16384;

}  // namespace minnow::cpu
