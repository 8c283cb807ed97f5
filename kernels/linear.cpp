#include "kernels/linear.h"

#include <algorithm>

#include "kernels/binary.h"
#include "kernels/gemm.h"

namespace minnow::cpu {

template <class T>
void linear_forward(int64_t rows, int64_t in, int64_t out, const T* x, const T* w,
                    const Wide<T>* bias, T* y) {
  if (bias == nullptr) {
    gemm(Op::none, Op::transpose, rows, out, in, T(1), x, in, w, in, T(0), y, out);
    return;
  }
  // In blocks of rows, so that the bias meets the product while it is still in the cache.
  constexpr int64_t block = 512;
  for (int64_t r = 0; r < rows; r += block) {
    const int64_t n = std::min(block, rows - r);
    gemm(Op::none, Op::transpose, n, out, in, T(1), x + r * in, in, w, in, T(0), y + r * out, out);
    add_broadcast(n, out, y + r * out, bias, y + r * out);
  }
}

template <class T>
void linear_backward(int64_t rows, int64_t in, int64_t out, const T* gy, const T* w, T* gx) {
  gemm(Op::none, Op::none, rows, in, out, T(1), gy, out, w, in, T(0), gx, in);
}

#define MINNOW_INSTANTIATE(T)                                                                   \
  template void linear_forward<T>(int64_t, int64_t, int64_t, const T*, const T*, const T*, T*); \
  template void linear_backward<T>(int64_t, int64_t, int64_t, const T*, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
