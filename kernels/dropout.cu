#include <cmath>

#include "kernels/device.h"
#include "kernels/dropout.h"

/// Bytes moved: 2 examples width sizeof(T); drop_path reads only what it keeps. About 100 integer
/// operations for every 4 elements, which need one block of random words: a thread owns 4
/// neighbouring elements of an example and walks down the examples.
namespace minnow::cuda {
namespace {

constexpr int words = 4;

__device__ RandomKey key_of(RandomKey key, const int64_t* ids, int64_t e) {
  key.example = static_cast<uint64_t>(ids == nullptr ? e : ids[e]);
  return key;
}

/// The least 24 random bits that keep an element: u >= p exactly where they, as a whole number,
/// reach p 2^24 rounded up.
uint32_t threshold_of(double p) {
  return static_cast<uint32_t>(std::ceil(p * 0x1p24));
}

/// With n = 1 the elements are read one by one, for a row may end within a block of words.
template <class T, int n>
__global__ void dropout_kernel(int64_t examples, int64_t width, RandomKey key, const int64_t* ids,
                               uint32_t threshold, Wide<T> scale, const T* x, T* y) {
  const int64_t block = matrix_column(), first = words * block;
  if (first >= width) return;
  for (int64_t e = matrix_row(); e < examples; e += matrix_row_step()) {
    const Random4 random = key_of(key, ids, e).block(static_cast<uint32_t>(block));
    for (int i = 0; i < words && first + i < width; i += n) {
      const int64_t at = e * width + first + i;
      Run<T, n> run = load_run<n>(x + at);
      for (int k = 0; k < n; ++k) {
        const bool kept = (random.word[i + k] >> 8) >= threshold;
        run.v[k] = narrow<T>(kept ? widen(run.v[k]) * scale : Wide<T>(0));
      }
      store_run(y + at, run);
    }
  }
}

/// A thread owns 16 bytes of an example and walks down the examples.
template <class T, int n>
__global__ void drop_path_kernel(int64_t examples, int64_t width, RandomKey key, const int64_t* ids,
                                 uint32_t threshold, Wide<T> scale, const T* x, T* y) {
  const int64_t column = matrix_column() * n;
  if (column >= width) return;
  for (int64_t e = matrix_row(); e < examples; e += matrix_row_step()) {
    const bool kept = (key_of(key, ids, e).word(0) >> 8) >= threshold;
    Run<T, n> run{};
    if (kept) {
      run = load_run<n>(x + e * width + column);
      for (int k = 0; k < n; ++k) run.v[k] = narrow<T>(widen(run.v[k]) * scale);
    }
    store_run(y + e * width + column, run);
  }
}

}  // namespace

template <class T>
void dropout(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
             const T* x, T* y) {
  const auto scale = static_cast<Wide<T>>(1 / (1 - p));
  const dim3 grid = matrix_grid(examples, ceil_div(width, words));
  const auto start = [=](auto run) {
    MINNOW_LAUNCH(grid, matrix_block, 0, dropout_kernel<T, run>, examples, width, key, ids,
                  threshold_of(p), scale, x, y);
  };
  with_runs<words>(width, start, x, y);
}

template <class T>
void drop_path(int64_t examples, int64_t width, RandomKey key, const int64_t* ids, double p,
               const T* x, T* y) {
  const auto scale = static_cast<Wide<T>>(1 / (1 - p));
  const auto start = [=](auto run) {
    const dim3 grid = matrix_grid(examples, width / run);
    MINNOW_LAUNCH(grid, matrix_block, 0, drop_path_kernel<T, run>, examples, width, key, ids,
                  threshold_of(p), scale, x, y);
  };
  with_runs<Pack<T>::size>(width, start, x, y);
}

#define MINNOW_INSTANTIATE(T)                                                                  \
  template void dropout<T>(int64_t, int64_t, RandomKey, const int64_t*, double, const T*, T*); \
  template void drop_path<T>(int64_t, int64_t, RandomKey, const int64_t*, double, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
