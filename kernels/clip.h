#pragma once

#include <cstdint>

/// From the group norms to the update: the three operations of micro-batch clipping. The numbers
/// are few (K groups, L parameters), so they are float64 throughout.
namespace minnow {

/// How the coefficient of a group follows from its norm n; C is the threshold, gamma the
/// stabiliser.
enum class Rule {
  none,       ///< 1
  min,        ///< rho / n, rho the smallest norm among the eligible groups
  fixed,      ///< min(1, C / n)
  quantile,   ///< min(1, C / n), C tracks a quantile of the norms over steps
  automatic,  ///< 1 / (n + gamma)
  normalize,  ///< 1 / n
};

namespace cpu {

/// norms[j] = sqrt(sum over l of sumsq[l, j]), sumsq [layers, groups]. Overwrites norms [groups].
void group_norms(int64_t layers, int64_t groups, const double* sumsq, double* norms);

/// The smallest of norms[j] over groups with eligible[j] != 0, and its index; infinity and -1 where
/// there is none.
struct Minimum {
  double value;
  int64_t index;
};
Minimum norm_minimum(int64_t groups, const double* norms, const uint8_t* eligible);

/// factors[j] = the part of the coefficient that group j's own norm decides (1/n for `min`, whose
/// common factor rho is known only when every group has been seen); 0 where eligible[j] is 0.
void clip_factors(Rule rule, double threshold, double gamma, int64_t groups, const double* norms,
                  const uint8_t* eligible, double* factors);

/// sum [n] = sum_j c[j] x[j, :] + beta * sum over the rows of x [groups, n]; rows with c[j] = 0 are
/// not read. Reads every group's gradient once: 4 n (groups + 1) bytes in float32.
template <class T>
void rescaled_sum(int64_t groups, int64_t n, const T* x, const double* c, T beta, T* sum);

/// gram [groups, groups] += X X^T for X [groups, n]: all inner products of group gradients.
/// Accumulates.
template <class T>
void gram(int64_t groups, int64_t n, const T* x, double* products);

}  // namespace cpu
}  // namespace minnow
