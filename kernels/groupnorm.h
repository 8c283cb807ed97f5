#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow {

/// Sizes of x [B, C, rest]: `inner` is the number of elements of `rest`, and `groups` divides C.
struct GroupNormShape {
  int64_t batch = 0, channels = 0, groups = 0, inner = 0;
};

namespace cpu {

/// y = (x - mean) rstd * weight[c] + bias[c], the moments over the channels of a group and all of
/// `rest`, for each example; rstd = 1 / sqrt(var + eps) with the biased variance. weight and bias
/// [C] may be null (1 and 0). Overwrites y; saves mean and rstd [B, groups]. Source: Wu, He, "Group
/// normalization", ECCV 2018.
template <class T>
void groupnorm_forward(const GroupNormShape& shape, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd);

/// Overwrites gx, which may be gy, and gweight and gbias [B, C]: the sums over `rest`, from which
/// the gradient of any group of examples follows.
template <class T>
void groupnorm_backward(const GroupNormShape& shape, const T* x, const Wide<T>* weight,
                        const Wide<T>* mean, const Wide<T>* rstd, const T* gy, T* gx,
                        Wide<T>* gweight, Wide<T>* gbias);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void groupnorm_forward(const GroupNormShape& shape, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd);
template <class T>
void groupnorm_backward(const GroupNormShape& shape, const T* x, const Wide<T>* weight,
                        const Wide<T>* mean, const Wide<T>* rstd, const T* gy, T* gx,
                        Wide<T>* gweight, Wide<T>* gbias);

}  // namespace cuda
}  // namespace minnow
