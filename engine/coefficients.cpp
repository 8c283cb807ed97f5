#include "engine/coefficients.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace minnow {

Coefficients::Coefficients(int64_t layers, const Grouping& grouping, const ClipRule& rule,
                           const ClipState& state)
    : layers_(layers),
      scopes_(rule.scope == Scope::layer ? layers : 1),
      domains_(rule.rule == Rule::min && rule.scope == Scope::domain ? grouping.domain_count() : 1),
      grouping_(grouping),
      rule_(rule),
      state_(state),
      factors_(static_cast<size_t>(scopes_ * grouping.groups()), 0.0),
      norms_(factors_.size(), 0.0),
      rho_(static_cast<size_t>(scopes_ * domains_), std::numeric_limits<double>::infinity()),
      examples_(static_cast<size_t>(scopes_), 0.0),
      count_(static_cast<size_t>(scopes_), 0.0) {
  check(rule.scope != Scope::domain || !grouping.domains().empty(),
        "clip.scope: \"domain\" needs data whose examples carry domains");
  seen_.norms.assign(static_cast<size_t>(grouping.groups()), 0.0);
  seen_.sumsq.assign(static_cast<size_t>(layers * grouping.groups()), 0.0);
}

/// 0 where no group was eligible.
double Coefficients::rho(int64_t s, int64_t domain) const {
  const double least = rho_[s * domains_ + domain];
  return std::isfinite(least) ? least : 0;
}

void Coefficients::see(int64_t first, int64_t last, const std::vector<double>& sumsq) {
  const int64_t n = last - first, k = grouping_.groups();
  for (int64_t l = 0; l < layers_; ++l) {
    std::copy_n(sumsq.begin() + l * n, n, seen_.sumsq.begin() + l * k + first);
  }
  std::vector<double> total(static_cast<size_t>(n));
  cpu::group_norms(layers_, n, sumsq.data(), total.data());
  std::copy(total.begin(), total.end(), seen_.norms.begin() + first);
  for (int64_t s = 0; s < scopes_; ++s) {
    std::vector<double> norms = total;
    if (rule_.scope == Scope::layer) cpu::group_norms(1, n, sumsq.data() + s * n, norms.data());
    see_scope(s, first, norms, total);
  }
}

void Coefficients::see_scope(int64_t s, int64_t first, const std::vector<double>& norms,
                             const std::vector<double>& total) {
  const auto n = static_cast<int64_t>(norms.size());
  std::vector<uint8_t> eligible(norms.size());
  for (int64_t j = 0; j < n; ++j) {
    // A norm that is not finite anywhere disqualifies the group everywhere. A zero gradient is a
    // fair part of a plain average, but has no direction that a rule could rescale.
    eligible[j] = grouping_.size(first + j) > 0 && std::isfinite(total[j]) &&
                  (norms[j] > 0 || rule_.rule == Rule::none);
  }
  double* factors = factors_.data() + s * grouping_.groups() + first;
  std::copy(norms.begin(), norms.end(), norms_.begin() + s * grouping_.groups() + first);
  cpu::clip_factors(rule_.rule, state_.threshold(rule_, s), rule_.gamma, n, norms.data(),
                    eligible.data(), factors);
  for (int64_t j = 0; j < n; ++j) {
    if (eligible[j] == 0) continue;
    const auto size = static_cast<double>(grouping_.size(first + j));
    if (rule_.rule == Rule::none) factors[j] = size;
    examples_[s] += size;
    count_[s] += 1;
    double& least = rho_[s * domains_ + domain(first + j)];
    least = std::min(least, norms[j]);
  }
}

/// What the sum of c_j g_j is multiplied with.
double Coefficients::reduction(int64_t s) const {
  if (count_[s] == 0) return 0;
  const bool mean = rule_.reduction == Reduction::mean;
  if (rule_.rule == Rule::none) return (mean ? 1 : count_[s]) / examples_[s];
  return mean ? 1 / count_[s] : 1;
}

double Coefficients::common(int64_t l, int64_t domain) const {
  const int64_t s = scope(l);
  return (rule_.rule == Rule::min ? rho(s, domain) : 1) * reduction(s);
}

double Coefficients::coefficient(int64_t s, int64_t j) const {
  const double factor = factors_[s * grouping_.groups() + j];
  if (rule_.rule != Rule::min || factor == 0) return factor;
  return rho(s, domain(j)) / norms_[s * grouping_.groups() + j];
}

double Coefficients::weight(int64_t l, int64_t j) const {
  return coefficient(scope(l), j) * reduction(scope(l));
}

GroupNorms Coefficients::finish() {
  const int64_t k = grouping_.groups();
  std::vector<uint8_t> eligible(static_cast<size_t>(k));
  for (int64_t j = 0; j < k; ++j) {
    const double norm = seen_.norms[j];
    eligible[j] = std::isfinite(norm) && norm > 0;
    seen_.ineligible += eligible[j] != 0 ? 0 : 1;
    seen_.nonfinite += std::isfinite(norm) ? 0 : 1;
  }
  if (seen_.nonfinite > 0 && rule_.on_nonfinite == OnNonfinite::error) {
    throw RunError(fmt::format(
        "the gradient of {} of {} micro-batches is not finite (clip.on_nonfinite = \"error\")",
        seen_.nonfinite, k));
  }
  const cpu::Minimum least = cpu::norm_minimum(k, seen_.norms.data(), eligible.data());
  seen_.rho = least.index < 0 ? 0 : least.value;
  seen_.argmin = least.index;
  seen_.coefficients.resize(factors_.size());
  for (int64_t s = 0; s < scopes_; ++s) {
    for (int64_t j = 0; j < k; ++j) {
      const double c = coefficient(s, j);
      // Under `none` the factors are the sizes of the groups.
      seen_.coefficients[s * k + j] = rule_.rule == Rule::none && c != 0 ? 1 : c;
    }
  }
  const bool none_left = std::all_of(count_.begin(), count_.end(), [](double n) { return n == 0; });
  seen_.skipped = none_left || (seen_.nonfinite > 0 && rule_.on_nonfinite == OnNonfinite::skip);
  return std::move(seen_);
}

}  // namespace minnow
