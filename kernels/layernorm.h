#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"

namespace minnow::cpu {

/// y = (x - mean) rstd * weight + bias over each of `rows` rows of `width`; rstd = 1 / sqrt(var +
/// eps), with the biased variance. weight and bias may be null (1 and 0). Overwrites y; saves mean
/// and rstd [rows]. Source: Ba, Kiros, Hinton, "Layer normalization", 2016.
template <class T>
void layernorm_forward(int64_t rows, int64_t width, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd);

/// Overwrites gx [rows, width], which may be gy, and, unless both are null, gweight and gbias
/// [examples, width]: the sums over the rows of each example, rows / examples each, from which the
/// gradient of any group of examples follows.
template <class T>
void layernorm_backward(int64_t examples, int64_t rows, int64_t width, const T* x,
                        const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                        const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void layernorm_forward(int64_t rows, int64_t width, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd);
template <class T>
void layernorm_backward(int64_t examples, int64_t rows, int64_t width, const T* x,
                        const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                        const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias);

}  // namespace minnow::cuda
