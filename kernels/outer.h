#pragma once

#include <cstdint>

/// The bilinear form behind every dense weight: d loss / d W = G^T A, where the rows of A [R, in]
/// are what the layer read and the rows of G [R, out] the gradient of what it wrote. Group j owns
/// the rows bounds[j] .. bounds[j + 1].
namespace minnow::cpu {

/// out[out, in] = G^T A + beta * out.
template <class T>
void outer_sum(int64_t rows, int64_t in, int64_t out, const T* a, const T* g, T beta, T* sum);

/// sums[j] [out, in] = G_j^T A_j + beta * sums[j] for each of `groups` groups. Where sumsq is not
/// null, sumsq[j] is overwritten with the sum of squares of the result, taken while it is in the
/// cache.
template <class T>
void outer_group_sums(int64_t groups, const int64_t* bounds, int64_t in, int64_t out, const T* a,
                      const T* g, T beta, T* sums, double* sumsq);

/// sumsq[j] = |G_j^T A_j|^2 with nothing else written: each product is formed tile by tile and only
/// its sum of squares kept. A group of one row costs |a|^2 |g|^2. Overwrites sumsq [groups].
template <class T>
void outer_group_sumsq(int64_t groups, const int64_t* bounds, int64_t in, int64_t out, const T* a,
                       const T* g, double* sumsq);

/// out = sum_j c[j] G_j^T A_j + beta * out. A group with c[j] = 0 is not read: it may hold
/// anything.
template <class T>
void outer_weighted_sum(int64_t groups, const int64_t* bounds, int64_t in, int64_t out, const T* a,
                        const T* g, const double* c, T beta, T* sum);

}  // namespace minnow::cpu
