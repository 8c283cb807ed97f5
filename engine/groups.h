#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor.h"
#include "kernels/clip.h"

namespace minnow {

/// Which example of a batch belongs to which micro-batch. Groups are runs of consecutive examples;
/// for any other partition `order` says how to arrange the examples first.
class Grouping {
 public:
  /// Runs of `micro_batch` examples; the last one is shorter where it does not divide `examples`.
  static Grouping runs(int64_t examples, int64_t micro_batch);
  /// Runs of the given sizes; a size of 0 is an empty group.
  static Grouping sizes(std::span<const int64_t> sizes);
  /// group_of[i] in [0, groups) for each example, in any order. order() then lists the examples
  /// group by group.
  static Grouping assign(std::span<const int64_t> group_of, int64_t groups);

  int64_t groups() const { return static_cast<int64_t>(bounds_.size()) - 1; }  ///< K
  int64_t examples() const { return bounds_.back(); }                          ///< B
  int64_t size(int64_t j) const { return bounds_[j + 1] - bounds_[j]; }
  /// Group j holds the examples bounds()[j] .. bounds()[j + 1]; K + 1 numbers.
  const std::vector<int64_t>& bounds() const { return bounds_; }
  /// bounds() in rows of a matrix with `rows` rows, rows / examples for each example.
  std::vector<int64_t> row_bounds(int64_t rows) const;
  /// Position i of the arranged batch takes example order()[i]; empty where nothing has to move.
  const std::vector<int64_t>& order() const { return order_; }

  /// Gives every group a domain in [0, domains): Scope::domain takes the minimum within each.
  void set_domains(std::vector<int64_t> domain_of_group);
  const std::vector<int64_t>& domains() const { return domains_; }
  int64_t domain_count() const { return domain_count_; }

  /// Groups [first, last) as a grouping of their own, with their domains.
  Grouping subset(int64_t first, int64_t last) const;

 private:
  std::vector<int64_t> bounds_{0};
  std::vector<int64_t> order_;
  std::vector<int64_t> domains_;
  int64_t domain_count_ = 1;
};

/// Whose norm decides: that of all parameters, that of each parameter alone, or all parameters with
/// the minimum taken among the groups of one domain.
enum class Scope { global, layer, domain };

/// The paper's text averages the rescaled gradients (its equation 2); its Algorithm 1, line 9, adds
/// them up.
enum class Reduction { mean, sum };

/// What a group whose norm is infinite or NaN does to the step.
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

/// Names as in recipes: "none", "min", ...; Error lists the names where there is no such one.
Rule rule_from(std::string_view name);
Scope scope_from(std::string_view name);
Reduction reduction_from(std::string_view name);
OnNonfinite on_nonfinite_from(std::string_view name);

/// What was seen of the groups of one step. K and L as in ClipRule; a frozen parameter has a row of
/// zeros.
struct GroupNorms {
  std::vector<double> norms;         ///< [K] over all parameters
  std::vector<double> sumsq;         ///< [L, K] squared norm of each parameter's share
  std::vector<double> coefficients;  ///< [K] c_j; under Scope::layer [L, K]
  double rho = 0;                    ///< the smallest eligible norm; 0 where no group is eligible
  int64_t argmin = -1;               ///< its group
  int64_t ineligible = 0;            ///< groups that were empty, of zero norm, or not finite
  int64_t nonfinite = 0;             ///< those of them that were not finite
  bool skipped = false;              ///< the update is zero and the optimizer must not step
};

/// State of a rule that looks back over steps: the threshold of Rule::quantile, one for each layer
/// in Scope::layer. C <- C exp(-rate (share of groups with n <= C - q)). Source: Andrew et al.,
/// "Differentially private learning with adaptive clipping", NeurIPS 2021, equation for the
/// geometric update.
class ClipState {
 public:
  double threshold(const ClipRule& rule, int64_t layer = 0) const;
  void update(const ClipRule& rule, int64_t layers, const GroupNorms& seen);
  std::vector<double>& values() { return thresholds_; }  ///< for checkpoints
  const std::vector<double>& values() const { return thresholds_; }

 private:
  std::vector<double> thresholds_;
};

}  // namespace minnow
