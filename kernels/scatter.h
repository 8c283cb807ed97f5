#pragma once

#include <cstdint>

/// The form behind an embedding: row r of G [R, width] adds to row ids[r] of a table [vocabulary,
/// width]. Group j owns the rows bounds[j] .. bounds[j + 1]; ids lie in the table. Every element
/// adds its rows up in their order, whatever the number of threads.
namespace minnow::cpu {

/// sums[j] [vocabulary, width] = scatter-add of the rows of group j + beta * sums[j]. Where sumsq
/// is not null, sumsq[j] is overwritten with the sum of squares of the result.
template <class T>
void scatter_group_sums(int64_t groups, const int64_t* bounds, int64_t vocabulary, int64_t width,
                        const int64_t* ids, const T* g, T beta, T* sums, double* sumsq);

/// sumsq[j] = sum of squares of the scatter-add of group j, with no table formed: rows of equal id
/// are brought together by sorting and added up one id at a time. Overwrites sumsq [groups].
template <class T>
void scatter_group_sumsq(int64_t groups, const int64_t* bounds, int64_t width, const int64_t* ids,
                         const T* g, double* sumsq);

/// sum [vocabulary, width] = sum_j c[j] (scatter-add of group j) + beta * sum; a group with c[j] =
/// 0 is not read. With c null every weight is 1.
template <class T>
void scatter_weighted_sum(int64_t groups, const int64_t* bounds, int64_t vocabulary, int64_t width,
                          const int64_t* ids, const T* g, const double* c, T beta, T* sum);

}  // namespace minnow::cpu
