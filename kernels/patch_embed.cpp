#include "kernels/patch_embed.h"

#include <algorithm>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Calls f(place in x, place in the patches) for every run of `patch` elements, one row of one
/// patch.
template <class F>
void for_each_run(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
                  F f) {
  const int64_t rows = height / patch, columns = width / patch, area = patch * patch;
  const int64_t strip = channels * patch * width;  // elements of one row of patches
  parallel_for(batch * rows, element_grain / (strip + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / rows, r = i % rows;
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t y = 0; y < patch; ++y) {
          const int64_t from = ((b * channels + c) * height + r * patch + y) * width;
          const int64_t to = i * strip + c * area + y * patch;
          for (int64_t k = 0; k < columns; ++k) f(from + k * patch, to + k * channels * area);
        }
      }
    }
  });
}

}  // namespace

template <class T>
void patchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
              const T* x, T* patches) {
  for_each_run(batch, channels, height, width, patch,
               [=](int64_t at, int64_t in) { std::copy_n(x + at, patch, patches + in); });
}

template <class T>
void unpatchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
                const T* patches, T* x) {
  for_each_run(batch, channels, height, width, patch,
               [=](int64_t at, int64_t in) { std::copy_n(patches + in, patch, x + at); });
}

#define MINNOW_INSTANTIATE(T)                                                           \
  template void patchify<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, T*); \
  template void unpatchify<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
