#pragma once

#include "kernels/conv2d.h"
#include "kernels/segments.h"

/// The gradient of a convolution's weight, d loss / d W = sum over examples of gy times the patches
/// of x. Group j owns the examples bounds[j] .. bounds[j + 1]. Results are the same to the bit for
/// a given number of threads.
namespace minnow::cpu {

/// sum [F, C / groups, kh, kw] = the sum over all examples + beta * sum.
template <class T>
void conv_sum(const ConvShape& shape, const T* x, const T* gy, Wide<T> beta, Wide<T>* sum);

/// sums[j] = the sum over group j + beta * sums[j]. Where sumsq is not null, sumsq[j] is
/// overwritten with the sum of squares of the result, taken while it is in the cache.
template <class T>
void conv_group_sums(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                     Wide<T> beta, Wide<T>* sums, double* sumsq);

/// sumsq[j] = the squared norm of group j's sum; one weight's worth of scratch memory a thread.
/// Overwrites sumsq.
template <class T>
void conv_group_sumsq(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                      double* sumsq);

/// sum = sum_j c[j] (the sum over group j) + beta * sum. A group with c[j] = 0 is not read: it may
/// hold anything.
template <class T>
void conv_weighted_sum(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                       const double* c, Wide<T> beta, Wide<T>* sum);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void conv_sum(const ConvShape& shape, const T* x, const T* gy, Wide<T> beta, Wide<T>* sum);
template <class T>
void conv_group_sums(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                     Wide<T> beta, Wide<T>* sums, double* sumsq);
template <class T>
void conv_group_sumsq(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                      double* sumsq);
template <class T>
void conv_weighted_sum(const ConvShape& shape, const Segments& segments, const T* x, const T* gy,
                       const double* c, Wide<T> beta, Wide<T>* sum);

}  // namespace minnow::cuda
