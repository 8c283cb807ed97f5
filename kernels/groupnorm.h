#pragma once

#include <cstdint>

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
void groupnorm_forward(const GroupNormShape& shape, T eps, const T* x, const T* weight,
                       const T* bias, T* y, T* mean, T* rstd);

/// Overwrites gx, which may be gy, and gweight and gbias [B, C]: the sums over `rest`, from which
/// the gradient of any group of examples follows.
template <class T>
void groupnorm_backward(const GroupNormShape& shape, const T* x, const T* weight, const T* mean,
                        const T* rstd, const T* gy, T* gx, T* gweight, T* gbias);

}  // namespace cpu
}  // namespace minnow
