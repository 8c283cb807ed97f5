#pragma once

#include <span>
#include <string>
#include <vector>

namespace minnow::study {

/// A sample's mean and how sure it is.
struct Summary {
  size_t count = 0;
  double mean = 0;
  double sd = 0;          ///< with n - 1; not a number for one value
  double half_width = 0;  ///< of the two-sided t interval around the mean; not a number for one

  /// "1.93 +- 0.04 (sd 0.02, n = 3)"; "1.93 (one run: no interval)".
  std::string text() const;
};

/// Error where there is no value, or `confidence` is not between 0 and 1.
Summary summarise(std::span<const double> values, double confidence = 0.95);

/// A statistic of a sample, or of two independent ones, by the jackknife.
struct Estimate {
  double value = 0;
  double half_width = 0;  ///< of its 95 % interval
};

/// `samples`: for each of the independent samples, the statistic without each of its values in
/// turn. The variance is the sum over samples of (n - 1) / n sum_i (without_i - their mean)^2, the
/// degrees of freedom are those of the smallest sample. Error where a sample has fewer than two.
/// Source: Efron and Stein, The Annals of Statistics 9 (1981).
Estimate jackknife(double value, std::span<const std::vector<double>> samples);

/// A comparison of pairs (same seed, two methods) by Student's paired t-test.
struct PairedTest {
  double mean_difference = 0;  ///< of a - b
  double half_width = 0;       ///< of its 95 % interval
  double t = 0;
  double p = 1;  ///< two-sided: the chance of a |t| so large where there is no difference
};

/// Error where the lengths differ or there are fewer than two pairs. Where all differences are
/// equal, p is 0, or 1 where they are 0.
PairedTest paired_t_test(std::span<const double> a, std::span<const double> b);

/// A p value where the smallest of `tests` ones was looked for; at most 1.
double bonferroni(double p, size_t tests);

/// I_x(a, b), the regularised incomplete beta function; a, b > 0 and 0 <= x <= 1. By the continued
/// fraction, DLMF 8.17.22.
double incomplete_beta(double a, double b, double x);
/// P(T > t) + P(T < -t) of Student's distribution.
double student_two_sided(double t, double degrees);
/// The t with P(|T| <= t) = `confidence`.
double student_quantile(double confidence, double degrees);

}  // namespace minnow::study
