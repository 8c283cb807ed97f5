#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor.h"
#include "kernels/clip.h"
#include "kernels/segments.h"

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
  /// The groups as runs of the rows of a matrix with `rows` rows, rows / examples for each example.
  /// The pointers live as long as the grouping.
  Segments segments(int64_t rows, Device device) const;
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

  /// Bounds in rows, on the host and on the device; made when they are first asked for.
  struct Scaled {
    Tensor bounds, device_bounds;
  };
  mutable std::map<std::pair<int64_t, Device::Kind>, Scaled> scaled_;
};

/// Names as in recipes: "none", "min", ...; Error lists the names where there is no such one.
Rule rule_from(std::string_view name);
Scope scope_from(std::string_view name);
Reduction reduction_from(std::string_view name);
OnNonfinite on_nonfinite_from(std::string_view name);

/// What was seen of the groups of one step. K and L as in ClipRule; a frozen parameter has a row of
/// zeros.
struct GroupNorms {
  std::vector<double> norms;         ///< [K] over all parameters; infinite beside an infinite loss
  std::vector<double> sumsq;         ///< [L, K] squared norm of each parameter's share
  std::vector<double> coefficients;  ///< [K] c_j; under Scope::layer [L, K]
  double rho = 0;                    ///< the smallest eligible norm; 0 where no group is eligible
  int64_t argmin = -1;               ///< its group
  int64_t ineligible = 0;            ///< groups that were empty, of zero norm, or not finite
  int64_t nonfinite = 0;             ///< those of them whose norm or loss was not finite
  bool skipped = false;              ///< the update is zero and the optimizer must not step
};

/// State of a rule that looks back over steps: the threshold of Rule::quantile, one for each layer
/// in Scope::layer, on the device of the gradients.
class ClipState {
 public:
  /// The thresholds for the next step, made where there are none yet; undefined for another rule.
  Tensor thresholds(const ClipRule& rule, int64_t scopes, Device device);
  /// For checkpoints; waits for the device.
  std::vector<double> values() const;
  void set_values(const std::vector<double>& values);

 private:
  Tensor thresholds_;  // [S] float64
};

}  // namespace minnow
