#pragma once

#include <cstdint>
#include <vector>

#include "train/study/theory.h"

namespace minnow::study {

enum class Loss {
  quadratic,  ///< sum_i curvature_i w_i^2 / 2
  nonconvex,  ///< sum_i curvature_i / 2 . w_i^2 / (1 + w_i^2): as smooth, and flat far away
  norm        ///< L |w|: not smooth; the gradient's norm is L everywhere but at 0
};

enum class Noise {
  normal,     ///< the same in every direction that is orthogonal to the dragger
  two_point,  ///< +- sigma along the gradient: symmetric
  skewed      ///< along the gradient, -sigma / 3 nine times of ten and 3 sigma once: mean 0
};

/// A problem whose constants are known. Gradients are drawn as Assumptions 4.3 and 4.4 have it: in
/// every step one vector mu orthogonal to the gradient g, of random direction and with |mu| uniform
/// in [c |g|, C |g|]; every example is mu with probability epsilon, and g with noise otherwise.
struct Problem {
  Constants constants;
  /// From L down to L / 10 in equal ratios over 10 dimensions where it is empty.
  std::vector<double> curvature = {};
  Loss loss = Loss::quadratic;
  Noise noise = Noise::normal;
  double cosine = 0;  ///< between dragger and gradient; below 0 draggers lead uphill
  /// Above 0: the norm of a dragger whatever the gradient is, so that no C bounds the ratio.
  double dragger_norm = 0;
};

enum class Method {
  sgd,         ///< the mean of the batch's B gradients
  normalised,  ///< the mean of g_j / |g_j| over micro-batches: equation 2, which the proof treats
  min_norm     ///< rho times that with rho = min_j |g_j|: Algorithm 1, with a mean for its sum
};

/// What became of |g_t|, with g_t the mean benign gradient at the weights before step t.
struct Course {
  double average = 0;             ///< over all steps: what both proofs bound
  double last = 0;                ///< over the last tenth of the steps
  std::vector<double> stretches;  ///< averages over stretches of a hundredth of the steps
};

/// T steps of eta = 1 / (L sqrt T), from a start whose loss is `gap` above the optimum. The same
/// arguments give the same numbers. Error where b does not divide B.
Course simulate(const Problem& problem, Method method, int64_t b, int64_t T, uint64_t seed);

/// The loss at w, and its gradient into `gradient`.
double evaluate(const Problem& problem, const std::vector<double>& w,
                std::vector<double>& gradient);

}  // namespace minnow::study
