#include "kernels/mask_tokens.h"

#include <algorithm>

#include "kernels/launch.h"

namespace minnow::cpu {

template <class T>
void mask_tokens(int64_t examples, int64_t tokens, int64_t width, const int64_t* lengths,
                 const T* x, T* y) {
  const int64_t size = tokens * width;
  parallel_for(examples, element_grain / (size + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      const int64_t live = lengths[e] * width;
      if (y != x) std::copy_n(x + e * size, live, y + e * size);
      std::fill_n(y + e * size + live, size - live, T(0));
    }
  });
}

void window_counts(int64_t n, int64_t kernel, int64_t stride, const int64_t* from, int64_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = window_count(from[i], kernel, stride);
}

#define MINNOW_INSTANTIATE(T) \
  template void mask_tokens<T>(int64_t, int64_t, int64_t, const int64_t*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
