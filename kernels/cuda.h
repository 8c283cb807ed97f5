#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/launch.h"

/// What every .cu file starts from: CUDA C++ as nvcc has it, or, with MINNOW_CUDA_HOST, the same
/// language executed by the processor (kernels/host). A kernel is written as usual but for three
/// things: static shared memory is declared with MINNOW_SHARED, dynamic shared memory is asked for
/// with dynamic_shared<T>(), and kernels start through MINNOW_LAUNCH.
#ifdef MINNOW_CUDA_HOST
#include "kernels/host/language.h"
#else
#include <cuda_runtime.h>

/// MINNOW_SHARED(float, tile, [32][33]); declares __shared__ float tile[32][33].
#define MINNOW_SHARED(type, name, extent) __shared__ type name extent

namespace minnow::cuda {
/// The block's dynamic shared memory, aligned to 16 bytes.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char minnow_dynamic_shared[];
  return reinterpret_cast<T*>(minnow_dynamic_shared);
}
}  // namespace minnow::cuda
#endif

namespace minnow::cuda {

/// Where and how a kernel starts.
struct LaunchSite {
  dim3 grid, block;
  int64_t shared = 0;     ///< bytes of dynamic shared memory
  const char* text = "";  ///< begins with the kernel's name
  const char* file = "";
  int line = 0;
};

#ifdef MINNOW_CUDA_HOST

template <class... P, class... A>
void launch(const LaunchSite& site, void (*kernel)(P...), A... args) {
  if (site.grid.x == 0 || site.grid.y == 0 || site.grid.z == 0) return;
  host::run(site, [&] { kernel(static_cast<P>(args)...); });
}

#else

/// The one stream that all kernels run in.
cudaStream_t stream();
/// Lets a kernel use more than the usual 48 KiB of dynamic shared memory.
void allow_shared(const void* kernel, const LaunchSite& site);
/// Throws DeviceError, with the kernel's name, place and sizes, where it could not start.
void check_launch(const LaunchSite& site);

template <class... P, class... A>
void launch(const LaunchSite& site, void (*kernel)(P...), A... args) {
  if (site.grid.x == 0 || site.grid.y == 0 || site.grid.z == 0) return;
  if (site.shared > 48 * 1024) allow_shared(reinterpret_cast<const void*>(kernel), site);
  const auto shared = static_cast<size_t>(site.shared);
  // clang-format off
  kernel<<<site.grid, site.block, shared, stream()>>>(static_cast<P>(args)...);
  // clang-format on
  check_launch(site);
}

#endif

/// MINNOW_LAUNCH(grid, block, shared_bytes, kernel<T>, arguments...); an empty grid is no launch.
#define MINNOW_LAUNCH(grid, block, shared, ...) \
  ::minnow::cuda::launch({(grid), (block), (shared), #__VA_ARGS__, __FILE__, __LINE__}, __VA_ARGS__)

}  // namespace minnow::cuda
