#pragma once

#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/segments.h"

/// The bilinear form behind every dense weight: d loss / d W = G^T A, where the rows of A [R, in]
/// are what the layer read and the rows of G [R, out] the gradient of what it wrote. Group j owns
/// the rows bounds[j] .. bounds[j + 1].
namespace minnow::cpu {

/// out[out, in] = G^T A + beta * out.
template <class T>
void outer_sum(int64_t rows, int64_t in, int64_t out, const T* a, const T* g, Wide<T> beta,
               Wide<T>* sum);

/// sums[j] [out, in] = G_j^T A_j + beta * sums[j] for each of `groups` groups. Where sumsq is not
/// null, sumsq[j] is overwritten with the sum of squares of the result, taken while it is in the
/// cache.
template <class T>
void outer_group_sums(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                      Wide<T> beta, Wide<T>* sums, double* sumsq);

/// sumsq[j] = |G_j^T A_j|^2 with nothing else written: each product is formed tile by tile and only
/// its sum of squares kept. A group of one row costs |a|^2 |g|^2. Overwrites sumsq [groups].
template <class T>
void outer_group_sumsq(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                       double* sumsq);

/// out = sum_j c[j] G_j^T A_j + beta * out. A group with c[j] = 0 is not read: it may hold
/// anything.
template <class T>
void outer_weighted_sum(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                        const double* c, Wide<T> beta, Wide<T>* sum);

}  // namespace minnow::cpu

/// The same on arrays in device memory. c lies there too, so nobody can choose rows by it before
/// the product starts; since 0 times NaN is NaN, outer_weighted_sum overwrites, in G itself, what
/// is not finite in rows of groups with c[j] = 0 by 0. A, which may be the caller's data, is left
/// alone.
namespace minnow::cuda {

template <class T>
void outer_sum(int64_t rows, int64_t in, int64_t out, const T* a, const T* g, Wide<T> beta,
               Wide<T>* sum);
template <class T>
void outer_group_sums(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                      Wide<T> beta, Wide<T>* sums, double* sumsq);
template <class T>
void outer_group_sumsq(const Segments& segments, int64_t in, int64_t out, const T* a, const T* g,
                       double* sumsq);
template <class T>
void outer_weighted_sum(const Segments& segments, int64_t in, int64_t out, const T* a, T* g,
                        const double* c, Wide<T> beta, Wide<T>* sum);

}  // namespace minnow::cuda
