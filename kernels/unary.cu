#include "kernels/device.h"
#include "kernels/unary.h"

/// Maps: 16 bytes a thread and array in a grid-stride loop. Bytes moved: 2 n sizeof(T) forward, 3 n
/// sizeof(T) backward; 1 to about 40 flops an element, which the loads hide in float32.
namespace minnow::cuda {
namespace {

template <class F>
struct Value {
  template <class W>
  __device__ W operator()(W x) const {
    return F::value(x);
  }
};

template <class F>
struct Slope {
  template <class W>
  __device__ W operator()(W x, W gy) const {
    return gy * F::slope(x);
  }
};

}  // namespace

template <class F, class T>
void unary_forward(int64_t n, const T* x, T* y) {
  map(n, Value<F>(), y, x);
}

template <class F, class T>
void unary_backward(int64_t n, const T* x, const T* gy, T* gx) {
  map(n, Slope<F>(), gx, x, gy);
}

#define MINNOW_INSTANTIATE_FOR(F, T)                        \
  template void unary_forward<F, T>(int64_t, const T*, T*); \
  template void unary_backward<F, T>(int64_t, const T*, const T*, T*);
#define MINNOW_INSTANTIATE(F)       \
  MINNOW_INSTANTIATE_FOR(F, float)  \
  MINNOW_INSTANTIATE_FOR(F, double) \
  MINNOW_INSTANTIATE_FOR(F, bfloat16)
MINNOW_UNARY_FUNCTIONS(MINNOW_INSTANTIATE)
#undef MINNOW_INSTANTIATE
#undef MINNOW_INSTANTIATE_FOR

}  // namespace minnow::cuda
