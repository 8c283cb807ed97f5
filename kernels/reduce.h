#pragma once

#include <cstdint>

namespace minnow::cpu {

/// Sum of x[i]^2, added up in float64 over short float runs; runs on the calling thread.
template <class T>
double sum_of_squares(int64_t n, const T* x);

/// sums[j] [width] = sum over the rows bounds[j] .. bounds[j + 1] of x [R, width], plus beta *
/// sums[j]: the form behind a bias, a class token, a position embedding and, from sums per example,
/// the scale of a norm layer. Where sumsq is not null, sumsq[j] is overwritten with the sum of
/// squares of the result.
template <class T>
void segment_sums(int64_t groups, const int64_t* bounds, int64_t width, const T* x, T beta, T* sums,
                  double* sumsq);

/// sum [width] = sum_r w(r) x[r, :] + beta * sum over rows [0, rows) with w(r) = c[j] for the rows
/// of group j; a group with c[j] = 0 is not read. With c null every weight is 1.
template <class T>
void weighted_row_sum(int64_t groups, const int64_t* bounds, int64_t width, const T* x,
                      const double* c, T beta, T* sum);

}  // namespace minnow::cpu
