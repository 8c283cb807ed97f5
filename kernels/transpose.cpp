#include "kernels/transpose.h"

#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void transpose(int64_t examples, int64_t rows, int64_t columns, const T* x, T* y) {
  // Tiles whose lines of both arrays stay in the first-level cache.
  constexpr int64_t tile = 16;
  const int64_t strips = (rows + tile - 1) / tile, area = rows * columns;
  const int64_t grain = element_grain / (tile * columns + 1) + 1;
  parallel_for(examples * strips, grain, [=](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const T* from = x + s / strips * area;
      T* to = y + s / strips * area;
      const int64_t top = s % strips * tile, bottom = std::min(top + tile, rows);
      for (int64_t left = 0; left < columns; left += tile) {
        const int64_t right = std::min(left + tile, columns);
        for (int64_t j = left; j < right; ++j) {
          for (int64_t i = top; i < bottom; ++i) to[j * rows + i] = from[i * columns + j];
        }
      }
    }
  });
}

template void transpose<float>(int64_t, int64_t, int64_t, const float*, float*);
template void transpose<double>(int64_t, int64_t, int64_t, const double*, double*);

}  // namespace minnow::cpu
