#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/random.h"

/// From the group norms to the coefficients of the update. The numbers are few (K groups, L
/// parameters), so they are float64 throughout; they live on the device of the gradients, and no
/// step waits for them.
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

/// Whose norm decides: that of all parameters, that of each parameter alone, or all parameters with
/// the minimum taken among the groups of one domain.
enum class Scope { global, layer, domain };

/// The paper's text averages the rescaled gradients (its equation 2); its Algorithm 1, line 9, adds
/// them up.
enum class Reduction { mean, sum };

/// What a group with a norm or a loss that is infinite or NaN does to the step.
enum class OnNonfinite { skip, drop, error };

/// What makes one update of K group gradients g_j with norms n_j: update = (1/K) sum_j c_j g_j, c_j
/// by the rule. Under Rule::none a group weighs as much as it has examples, so that the update is
/// the plain gradient.
struct ClipRule {
  Rule rule = Rule::none;
  Scope scope = Scope::global;
  Reduction reduction = Reduction::mean;
  OnNonfinite on_nonfinite = OnNonfinite::skip;
  double threshold = 1.0;  ///< C of `fixed`, and where `quantile` starts
  double quantile = 0.5;   ///< share of the groups whose norm should lie below C
  double quantile_rate = 0.2;
  double gamma = 0.01;  ///< stabiliser of `automatic`
};

/// What a step says of its groups.
struct ClipSummary {
  double rho;         ///< the smallest norm that is finite and not zero; 0 where there is none
  double argmin;      ///< its group, or -1
  double ineligible;  ///< groups that were empty, of zero norm, or not finite
  double nonfinite;   ///< those of them that were not finite
  double skipped;     ///< 1: no step
};

/// All numbers of one step's clipping. Every rule's coefficient is (a number common to all groups
/// of a domain, known at the end) x (a function of the group's own norm, known at once): sums with
/// the second kind can be kept while waves pass, and are multiplied by the first when all groups
/// have been seen. K groups, L parameters, S scopes (L under Scope::layer, otherwise 1), D domains.
struct ClipTable {
  ClipRule rule;
  int64_t layers = 0, groups = 0, scopes = 1, domains = 1;
  const int64_t* bounds = nullptr;  ///< [K + 1] examples of each group
  const int64_t* domain = nullptr;  ///< [K], or null: all of one domain
  double* thresholds = nullptr;     ///< [S] of Rule::quantile, from step to step; otherwise null

  double* sumsq = nullptr;         ///< [L, K] squared norm of each parameter's share
  double* norms = nullptr;         ///< [K] over all parameters, see group_norm()
  double* deciding = nullptr;      ///< [S, K] the norms that decide
  double* factors = nullptr;       ///< [S, K] what group j's own norm decides; 0: not eligible
  double* rho = nullptr;           ///< [S, D] smallest eligible norm so far, or infinity
  double* examples = nullptr;      ///< [S] examples of the groups that take part
  double* taking_part = nullptr;   ///< [S] groups that take part
  double* common = nullptr;        ///< [S, D] the number common to all groups
  double* weights = nullptr;       ///< [S, K] factor x common, exactly 1 for one group alone
  double* coefficients = nullptr;  ///< [S, K] c_j
  ClipSummary* summary = nullptr;
  uint8_t* skipped = nullptr;  ///< [1] whether the optimizer must not step

  MINNOW_HOST_DEVICE int64_t domain_of(int64_t j) const {
    return domain == nullptr ? 0 : domain[j];
  }
};

/// The part of the coefficient that a norm decides alone, 1/n for `min`.
MINNOW_HOST_DEVICE inline double clip_factor(const ClipRule& rule, double threshold, double n) {
  switch (rule.rule) {
    case Rule::none:
      return 1;
    case Rule::min:
    case Rule::normalize:
      return 1 / n;
    case Rule::fixed:
    case Rule::quantile:
      return threshold < n ? threshold / n : 1;
    case Rule::automatic:
      return 1 / (n + rule.gamma);
  }
  return 0;
}

/// The norm of group j, whose squared norm is sumsq; infinite where a loss of the group is not
/// finite, which its gradient need not show: that of CTC is zero for a target without any frames.
template <class T>
MINNOW_HOST_DEVICE inline double group_norm(const ClipTable& t, int64_t j, double sumsq,
                                            const T* losses) {
  bool finite = true;
  for (int64_t i = t.bounds[j]; i < t.bounds[j + 1]; ++i) finite &= std::isfinite(losses[i]);
  return finite ? std::sqrt(sumsq) : std::numeric_limits<double>::infinity();
}

/// Fills in deciding norm and factor of group j in scope s from sumsq and norms; whether it takes
/// part. A norm that is not finite anywhere disqualifies the group everywhere. A zero gradient is a
/// fair part of a plain average, but has no direction that a rule could rescale.
MINNOW_HOST_DEVICE inline bool see_group(const ClipTable& t, int64_t s, int64_t j) {
  const bool by_layer = t.rule.scope == Scope::layer;
  const double n = by_layer ? std::sqrt(t.sumsq[s * t.groups + j]) : t.norms[j];
  const double size = static_cast<double>(t.bounds[j + 1] - t.bounds[j]);
  const bool eligible =
      size > 0 && std::isfinite(t.norms[j]) && (n > 0 || t.rule.rule == Rule::none);
  const double threshold = t.thresholds == nullptr ? t.rule.threshold : t.thresholds[s];
  double factor = 0;
  if (eligible) factor = t.rule.rule == Rule::none ? size : clip_factor(t.rule, threshold, n);
  t.deciding[s * t.groups + j] = n;
  t.factors[s * t.groups + j] = factor;
  return eligible;
}

/// What the sum of c_j g_j is multiplied with in scope s; of Rule::none, c_j is the group's size.
MINNOW_HOST_DEVICE inline double clip_reduction(const ClipTable& t, int64_t s) {
  const double count = t.taking_part[s];
  if (count == 0) return 0;
  const bool mean = t.rule.reduction == Reduction::mean;
  if (t.rule.rule == Rule::none) return (mean ? 1 : count) / t.examples[s];
  return mean ? 1 / count : 1;
}

/// The smallest norm of scope s and a domain; 0 where no group was eligible.
MINNOW_HOST_DEVICE inline double clip_rho(const ClipTable& t, int64_t s, int64_t domain) {
  const double least = t.rho[s * t.domains + domain];
  return std::isfinite(least) ? least : 0;
}

MINNOW_HOST_DEVICE inline void finish_common(const ClipTable& t, int64_t s, int64_t domain,
                                             bool skip) {
  const double rho = t.rule.rule == Rule::min ? clip_rho(t, s, domain) : 1;
  t.common[s * t.domains + domain] = skip ? 0 : rho * clip_reduction(t, s);
}

/// Fills in c_j and the weight of group j, rounded so that the group that sets rho has exactly c =
/// 1 and one group alone exactly the weight 1. A skipped step has no weights.
MINNOW_HOST_DEVICE inline void finish_group(const ClipTable& t, int64_t s, int64_t j, bool skip) {
  const int64_t at = s * t.groups + j;
  const double factor = t.factors[at];
  double c = factor, weight = 0;
  if (factor != 0) {
    if (t.rule.rule == Rule::min) c = clip_rho(t, s, t.domain_of(j)) / t.deciding[at];
    if (t.rule.rule == Rule::none) {
      c = 1;
      weight =
          factor / t.examples[s] * (t.rule.reduction == Reduction::mean ? 1 : t.taking_part[s]);
    } else {
      weight = c * clip_reduction(t, s);
    }
  }
  t.coefficients[at] = c;
  t.weights[at] = skip ? 0 : weight;
}

/// Moves the threshold of scope s: C <- C exp(-rate (share of groups with n <= C - q)). Source:
/// Andrew et al., "Differentially private learning with adaptive clipping", NeurIPS 2021, equation
/// for the geometric update.
MINNOW_HOST_DEVICE inline void move_threshold(const ClipTable& t, int64_t s, double below,
                                              double counted) {
  if (counted == 0) return;
  t.thresholds[s] *= std::exp(-t.rule.quantile_rate * (below / counted - t.rule.quantile));
}

namespace cpu {

/// Before the first group: nothing has been seen.
void clip_begin(const ClipTable& table);

/// Takes in the squared norms sumsq [L, last - first] of the groups [first, last), and from losses
/// [B] of all examples those of theirs: fills in their norms and factors and what is counted over
/// all groups.
template <class T>
void clip_see(const ClipTable& table, int64_t first, int64_t last, const double* sumsq,
              const T* losses);

/// Once every group has been seen: common numbers, weights, coefficients, summary, `skipped`, and
/// the thresholds of the next step.
void clip_finish(const ClipTable& table);

}  // namespace cpu

/// The same on arrays in device memory.
namespace cuda {

void clip_begin(const ClipTable& table);
template <class T>
void clip_see(const ClipTable& table, int64_t first, int64_t last, const double* sumsq,
              const T* losses);
void clip_finish(const ClipTable& table);

}  // namespace cuda
}  // namespace minnow
