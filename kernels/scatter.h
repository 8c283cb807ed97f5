#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/segments.h"

/// The form behind an embedding: row r of G [R, width] adds to row ids[r] of a table [vocabulary,
/// width]. Group j owns the rows bounds[j] .. bounds[j + 1]; ids lie in the table. Every element
/// adds its rows up in their order, whatever the number of threads.
namespace minnow::cpu {

/// sums[j] [vocabulary, width] = scatter-add of the rows of group j + beta * sums[j]. Where sumsq
/// is not null, sumsq[j] is overwritten with the sum of squares of the result.
template <class T>
void scatter_group_sums(const Segments& segments, int64_t vocabulary, int64_t width,
                        const int64_t* ids, const T* g, Wide<T> beta, Wide<T>* sums, double* sumsq);

/// sumsq[j] = sum of squares of the scatter-add of group j, with no table formed: rows of equal id
/// are brought together by sorting and added up one id at a time. Overwrites sumsq [groups].
template <class T>
void scatter_group_sumsq(const Segments& segments, int64_t width, const int64_t* ids, const T* g,
                         double* sumsq);

/// sum [vocabulary, width] = sum_j c[j] (scatter-add of group j) + beta * sum; a group with c[j] =
/// 0 is not read. With c null every weight is 1, and the
/// bounds between the first and the last do not matter.
template <class T>
void scatter_weighted_sum(const Segments& segments, int64_t vocabulary, int64_t width,
                          const int64_t* ids, const T* g, const double* c, Wide<T> beta,
                          Wide<T>* sum);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void scatter_group_sums(const Segments& segments, int64_t vocabulary, int64_t width,
                        const int64_t* ids, const T* g, Wide<T> beta, Wide<T>* sums, double* sumsq);
template <class T>
void scatter_group_sumsq(const Segments& segments, int64_t width, const int64_t* ids, const T* g,
                         double* sumsq);
template <class T>
void scatter_weighted_sum(const Segments& segments, int64_t vocabulary, int64_t width,
                          const int64_t* ids, const T* g, const double* c, Wide<T> beta,
                          Wide<T>* sum);

}  // namespace minnow::cuda
