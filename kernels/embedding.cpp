#include "kernels/embedding.h"

#include <algorithm>
#include <limits>

#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void embedding_forward(int64_t rows, int64_t width, int64_t vocabulary, const int64_t* ids,
                       const T* weight, T* y) {
  parallel_for(rows, element_grain / (width + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (ids[r] >= 0 && ids[r] < vocabulary) {
        std::copy_n(weight + ids[r] * width, width, y + r * width);
      } else {
        std::fill_n(y + r * width, width, std::numeric_limits<T>::quiet_NaN());
      }
    }
  });
}

#define MINNOW_INSTANTIATE(T) \
  template void embedding_forward<T>(int64_t, int64_t, int64_t, const int64_t*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
