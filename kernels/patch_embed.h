#pragma once

#include <cstdint>

namespace minnow::cpu {

/// patches [B (H/p) (W/p), C p p] from x [B, C, H, W]: each row is one p x p patch of all channels,
/// in the order of a convolution's weight [D, C, p, p]. Overwrites patches.
template <class T>
void patchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
              const T* x, T* patches);

/// The inverse: overwrites x. Patches do not overlap, so that nothing adds up.
template <class T>
void unpatchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
                const T* patches, T* x);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void patchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
              const T* x, T* patches);
template <class T>
void unpatchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
                const T* patches, T* x);

}  // namespace minnow::cuda
