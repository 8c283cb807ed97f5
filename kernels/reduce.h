#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/segments.h"

namespace minnow::cpu {

/// Sum of x[i]^2, added up in float64 over short float runs; runs on the calling thread.
template <class T>
double sum_of_squares(int64_t n, const T* x);

/// sumsq[r] = the sum of squares of row r of x [rows, n]. Overwrites sumsq.
template <class T>
void row_sumsq(int64_t rows, int64_t n, const T* x, double* sumsq);

/// sums[j] [width] = sum over the rows bounds[j] .. bounds[j + 1] of x [R, width], plus beta *
/// sums[j]: the form behind a bias, a class token, a position embedding and, from sums per example,
/// the scale of a norm layer. Where sumsq is not null, sumsq[j] is overwritten with the sum of
/// squares of the result.
template <class T>
void segment_sums(const Segments& segments, int64_t width, const T* x, Wide<T> beta, Wide<T>* sums,
                  double* sumsq);

/// sum [width] = sum_r w(r) x[r, :] + beta * sum over rows [0, rows) with w(r) = c[j] for the rows
/// of group j; a group with c[j] = 0 is not read. With c null every weight is 1, and the
/// bounds between the first and the last do not matter.
template <class T>
void weighted_row_sum(const Segments& segments, int64_t width, const T* x, const double* c,
                      Wide<T> beta, Wide<T>* sum);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void row_sumsq(int64_t rows, int64_t n, const T* x, double* sumsq);
template <class T>
void segment_sums(const Segments& segments, int64_t width, const T* x, Wide<T> beta, Wide<T>* sums,
                  double* sumsq);
template <class T>
void weighted_row_sum(const Segments& segments, int64_t width, const T* x, const double* c,
                      Wide<T> beta, Wide<T>* sum);

}  // namespace minnow::cuda
