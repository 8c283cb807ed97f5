#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow {

/// Sizes of x [B, T, C].
struct SequenceShape {
  int64_t batch = 0, frames = 0, channels = 0;
};

namespace cpu {

/// y = (x - mean) rstd * weight[c] + bias[c], the moments over all channels of the first lengths[b]
/// frames of each example, and 0 in the frames after them, which are not read; rstd = 1 / sqrt(var
/// + eps) with the biased variance. lengths may be null (T); weight and bias [C] may not.
/// Overwrites y; saves mean and rstd [B], 0 of an example without frames. It is GroupNorm with one
/// group, for sequences.
template <class T>
void sequencenorm_forward(const SequenceShape& shape, const int64_t* lengths, Wide<T> eps,
                          const T* x, const Wide<T>* weight, const Wide<T>* bias, T* y,
                          Wide<T>* mean, Wide<T>* rstd);

/// Overwrites gx, which may be gy, and gweight and gbias [B, C]: the sums over each example's
/// frames, from which the gradient of any group of examples follows.
template <class T>
void sequencenorm_backward(const SequenceShape& shape, const int64_t* lengths, const T* x,
                           const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                           const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void sequencenorm_forward(const SequenceShape& shape, const int64_t* lengths, Wide<T> eps,
                          const T* x, const Wide<T>* weight, const Wide<T>* bias, T* y,
                          Wide<T>* mean, Wide<T>* rstd);
template <class T>
void sequencenorm_backward(const SequenceShape& shape, const int64_t* lengths, const T* x,
                           const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                           const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias);

}  // namespace cuda
}  // namespace minnow
