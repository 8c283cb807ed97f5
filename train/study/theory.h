#pragma once

#include <cstdint>

namespace minnow::study {

/// The constants of the paper's assumptions (arXiv 2408.16204, section 4.1), in its letters.
struct Constants {
  double epsilon = 0.3;   ///< probability of a dragger, 0 < epsilon < 1
  double sigma = 2;       ///< of the noise of a benign gradient, E|noise|^2 <= sigma^2
  double c = 0.5, C = 2;  ///< a dragger's norm over that of the mean benign gradient
  double L = 1;           ///< smoothness of the loss
  double gap = 10;        ///< the loss at the start over its lower bound
  int64_t B = 64;         ///< examples of a step
};

/// The bounds on min_t E|g_t| for the step 1 / (L sqrt T). "As printed" is digit by digit; where a
/// statement is empty the bound is infinite.

/// Of SGD without draggers: Table 1's first line (Bu et al. 2024, Theorem 9).
double plain_bound(const Constants& k, double T);
/// Theorem 4.1 as printed: SGD with draggers.
double sgd_bound(const Constants& k, double T);
/// What the proof of Theorem 4.1 needs C to be at most, which the theorem does not say.
double sgd_dragger_limit(const Constants& k, double T);
/// The same where the number of draggers in a batch is random, as Assumption 4.3 has it, and not
/// epsilon B; 0 where no C will do.
double sgd_dragger_limit_counted(const Constants& k, double T);

/// Theorem 4.2 as printed, micro-batches of b: the two terms of its sum. Infinite where b is not
/// above (1 - epsilon) / epsilon, that is epsilon <= 1 / (b + 1).
double clipped_bias(const Constants& k, double b);
double clipped_transient(const Constants& k, double b, double T);
double clipped_bound(const Constants& k, double b, double T);

/// What the same steps do prove when the number of draggers in the micro-batch is held fixed first
/// (see theory_text.h): sigma / sqrt((1 - epsilon) b)
///   + max(2, C) / ((1 - epsilon) sqrt T) L (gap + 1 / (2 L)), for every epsilon < 1 and every b.
double repaired_bound(const Constants& k, double b, double T);

/// The term that the proof of Theorem 4.2 marks with a star, where |g| = 1, for a dragger's part
/// epsilon |mu| = `dragger` and a deviation of length `along` in the direction of g.
double star(double epsilon, double dragger, double along);
/// What the proof says it is at least.
double star_claim(double epsilon, double dragger, double along);

}  // namespace minnow::study
