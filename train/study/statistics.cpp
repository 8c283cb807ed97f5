#include "train/study/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/check.h"

namespace minnow::study {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

/// The continued fraction of I_x(a, b) (DLMF 8.17.22), from the front by the modified method of
/// Lentz. Converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto away_from_zero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), fraction = d;
  for (int m = 1; m <= 10000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double factor = 1;
    for (const double term : {even, odd}) {
      d = 1 / away_from_zero(1 + term * d);
      c = away_from_zero(1 + term / c);
      factor = c * d;
      fraction *= factor;
    }
    if (std::abs(factor - 1) < std::numeric_limits<double>::epsilon()) return fraction;
  }
  throw RunError(fmt::format("incomplete_beta({}, {}, {}) does not converge", a, b, x));
}

}  // namespace

double incomplete_beta(double a, double b, double x) {
  check(a > 0 && b > 0 && x >= 0 && x <= 1,
        "incomplete_beta: a and b must be positive and x in [0, 1]; got {}, {}, {}", a, b, x);
  if (x == 0 || x == 1) return x;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_two_sided(double t, double degrees) {
  check(degrees > 0, "student: the degrees of freedom must be positive; got {}", degrees);
  return std::isinf(t) ? 0 : incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

double student_quantile(double confidence, double degrees) {
  check(confidence > 0 && confidence < 1, "student: the confidence must lie in (0, 1); got {}",
        confidence);
  const auto beyond = [&](double t) { return student_two_sided(t, degrees) > 1 - confidence; };
  double low = 0, high = 1;
  while (beyond(high)) high *= 2;
  for (int i = 0; i < 100; ++i) {  // until no number lies between
    const double middle = low + (high - low) / 2;
    (beyond(middle) ? low : high) = middle;
  }
  return high;
}

Summary summarise(std::span<const double> values, double confidence) {
  check(!values.empty(), "summarise: needs at least one value");
  Summary summary{.count = values.size(), .sd = kNothing, .half_width = kNothing};
  const auto n = static_cast<double>(values.size());
  summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return summary;
  double squares = 0;
  for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
  summary.sd = std::sqrt(squares / (n - 1));
  summary.half_width = student_quantile(confidence, n - 1) * summary.sd / std::sqrt(n);
  return summary;
}

std::string Summary::text() const {
  if (count < 2) return fmt::format("{:.4g} (one run: no interval)", mean);
  return fmt::format("{:.4g} +- {:.2g} (sd {:.2g}, n = {})", mean, half_width, sd, count);
}

Estimate jackknife(double value, std::span<const std::vector<double>> samples) {
  double variance = 0, smallest = std::numeric_limits<double>::infinity();
  for (const auto& without : samples) {
    check(without.size() >= 2, "jackknife: needs at least two values; got {}", without.size());
    const auto n = static_cast<double>(without.size());
    const double sd = summarise(without).sd;
    variance += (n - 1) * (n - 1) / n * sd * sd;
    smallest = std::min(smallest, n);
  }
  return {.value = value, .half_width = student_quantile(0.95, smallest - 1) * std::sqrt(variance)};
}

double bonferroni(double p, size_t tests) {
  return std::min(1.0, p * static_cast<double>(tests));
}

PairedTest paired_t_test(std::span<const double> a, std::span<const double> b) {
  check(a.size() == b.size() && a.size() >= 2,
        "paired_t_test: needs two samples of one length, at least 2; got {} and {} values",
        a.size(), b.size());
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  const Summary summary = summarise(differences);
  const auto n = static_cast<double>(a.size());
  PairedTest test{.mean_difference = summary.mean, .half_width = summary.half_width};
  if (summary.mean == 0) return test;
  test.t = summary.mean / (summary.sd / std::sqrt(n));
  test.p = student_two_sided(test.t, n - 1);
  return test;
}

}  // namespace minnow::study
