#include "kernels/convert.h"
#include "kernels/device.h"

/// Maps: a thread moves 16 bytes of the wider type at a time. Bytes moved: n sizeof(From) +
/// n sizeof(To).
namespace minnow::cuda {
namespace {

template <class To>
struct Cast {
  template <class W>
  __device__ Wide<To> operator()(W x) const {
    return static_cast<Wide<To>>(x);
  }
};

template <class W>
struct Constant {
  W value;
  __device__ W operator()() const { return value; }
};

}  // namespace

template <class From, class To>
void convert(int64_t n, const From* x, To* y) {
  map(n, Cast<To>(), y, x);
}

template <class T>
void fill(int64_t n, T value, T* x) {
  map(n, Constant<Wide<T>>{widen(value)}, x);
}

#define MINNOW_INSTANTIATE(From, To) template void convert<From, To>(int64_t, const From*, To*);
MINNOW_CONVERSIONS(MINNOW_INSTANTIATE)
#undef MINNOW_INSTANTIATE
template void fill<float>(int64_t, float, float*);
template void fill<double>(int64_t, double, double*);
template void fill<bfloat16>(int64_t, bfloat16, bfloat16*);
template void fill<int64_t>(int64_t, int64_t, int64_t*);
template void fill<uint8_t>(int64_t, uint8_t, uint8_t*);

}  // namespace minnow::cuda
