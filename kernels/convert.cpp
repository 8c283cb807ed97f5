#include "kernels/convert.h"

#include "kernels/launch.h"

namespace minnow::cpu {

template <class From, class To>
void convert(int64_t n, const From* x, To* y) {
  parallel_for(n, element_grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = narrow<To>(static_cast<Wide<To>>(widen(x[i])));
  });
}

template <class T>
void fill(int64_t n, T value, T* x) {
  parallel_for(n, element_grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) x[i] = value;
  });
}

#define MINNOW_INSTANTIATE(From, To) template void convert<From, To>(int64_t, const From*, To*);
MINNOW_CONVERSIONS(MINNOW_INSTANTIATE)
#undef MINNOW_INSTANTIATE
template void fill<float>(int64_t, float, float*);
template void fill<double>(int64_t, double, double*);
template void fill<bfloat16>(int64_t, bfloat16, bfloat16*);
template void fill<int64_t>(int64_t, int64_t, int64_t*);
template void fill<uint8_t>(int64_t, uint8_t, uint8_t*);

}  // namespace minnow::cpu
