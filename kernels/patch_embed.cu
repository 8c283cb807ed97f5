#include "kernels/device.h"
#include "kernels/patch_embed.h"

/// Bytes moved: B C H W sizeof(T) read and as many written; no flops.
namespace minnow::cuda {
namespace {

/// A strip is one row of patches of one image: C p W elements, of which a thread owns a run and
/// walks over the strips. A warp moves neighbours of a row of the image, and pieces of p elements
/// of the patches.
template <class T, int n, bool inverse>
__global__ void patchify_kernel(int64_t batch, int64_t channels, int64_t height, int64_t width,
                                int64_t patch, const T* from, T* to) {
  const int64_t strip = channels * patch * width, area = patch * patch, rows = height / patch;
  const int64_t column = matrix_column() * n;
  if (column >= strip) return;
  const int64_t line = column / width, left = column % width;  // line: channel, then row in a patch
  const int64_t c = line / patch, y = line % patch;
  const int64_t in_image = (c * height + y) * width + left;
  const int64_t in_strip = left / patch * channels * area + c * area + y * patch + left % patch;
  for (int64_t i = matrix_row(); i < batch * rows; i += matrix_row_step()) {
    const int64_t b = i / rows, r = i - b * rows;
    const int64_t image = (b * channels * height + r * patch) * width + in_image;
    const int64_t patches = i * strip + in_strip;
    if constexpr (inverse) {
      store_run(to + image, load_run<n>(from + patches));
    } else {
      store_run(to + patches, load_run<n>(from + image));
    }
  }
}

template <bool inverse, class T>
void permute(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
             const T* from, T* to) {
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(batch * (height / patch), channels * patch * width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, patchify_kernel<T, run, inverse>, batch, channels, height,
                  width, patch, from, to);
  };
  with_runs<Pack<T>::size>(patch, start, from, to);  // the width is a multiple of the patch
}

}  // namespace

template <class T>
void patchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
              const T* x, T* patches) {
  permute<false>(batch, channels, height, width, patch, x, patches);
}

template <class T>
void unpatchify(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t patch,
                const T* patches, T* x) {
  permute<true>(batch, channels, height, width, patch, patches, x);
}

#define MINNOW_INSTANTIATE(T)                                                           \
  template void patchify<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, T*); \
  template void unpatchify<T>(int64_t, int64_t, int64_t, int64_t, int64_t, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
