#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/segments.h"

namespace minnow {

/// Sizes of x [B, C, rest]: `inner` is the number of elements of `rest`. Of a sequence [B, C, T]
/// only the first lengths[b] ones of example b count: what follows them does not, and is 0 in what
/// the kernels write. lengths, where the kernel runs, may be null (T).
struct BatchNormShape {
  int64_t batch = 0, channels = 0, inner = 0;
  const int64_t* lengths = nullptr;
};

namespace cpu {

/// Mean and biased variance [K, C] of each channel over the examples of each group and all of
/// `rest` that count. Overwrites both; the row of an empty group is 0.
template <class T>
void batchnorm_moments(const BatchNormShape& shape, const Segments& groups, const T* x,
                       Wide<T>* mean, Wide<T>* var);

/// Moves running statistics [C] towards those of the groups, one after the other in their order:
/// r = (1 - m) r + m s, where s is the mean or the unbiased variance, and the groups of a step of
/// `step_examples` together weigh as much as one batch would: 1 - m = (1 - momentum)^(examples of
/// the group / step_examples). A group whose statistics are not finite is passed over, and one
/// that has less than two values of a channel.
template <class W>
void batchnorm_track(const BatchNormShape& shape, const Segments& groups, double momentum,
                     int64_t step_examples, const W* mean, const W* var, W* running_mean,
                     W* running_var);

/// y = (x - mean) / sqrt(var + eps) weight + bias with the statistics [K, C] of an example's group.
/// Overwrites y. Source: Ioffe, Szegedy, "Batch normalization", ICML 2015.
template <class T>
void batchnorm_forward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps, const T* x,
                       const Wide<T>* mean, const Wide<T>* var, const Wide<T>* weight,
                       const Wide<T>* bias, T* y);

/// Overwrites gx, which may be gy, and gweight and gbias [B, C]: the sums over `rest`, from which
/// the gradient of any run of examples follows. `fixed`: the statistics do not depend on x.
template <class T>
void batchnorm_backward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps,
                        bool fixed, const T* x, const Wide<T>* mean, const Wide<T>* var,
                        const Wide<T>* weight, const T* gy, T* gx, Wide<T>* gweight,
                        Wide<T>* gbias);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

template <class T>
void batchnorm_moments(const BatchNormShape& shape, const Segments& groups, const T* x,
                       Wide<T>* mean, Wide<T>* var);
template <class W>
void batchnorm_track(const BatchNormShape& shape, const Segments& groups, double momentum,
                     int64_t step_examples, const W* mean, const W* var, W* running_mean,
                     W* running_var);
template <class T>
void batchnorm_forward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps, const T* x,
                       const Wide<T>* mean, const Wide<T>* var, const Wide<T>* weight,
                       const Wide<T>* bias, T* y);
template <class T>
void batchnorm_backward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps,
                        bool fixed, const T* x, const Wide<T>* mean, const Wide<T>* var,
                        const Wide<T>* weight, const T* gy, T* gx, Wide<T>* gweight,
                        Wide<T>* gbias);

}  // namespace cuda
}  // namespace minnow
