#pragma once

#include <cstdint>
#include <vector>

#include "engine/groups.h"

namespace minnow {

/// Turns norms into coefficients, wave by wave. Every rule's coefficient is (a number common to all
/// groups of a domain, known at the end) x (a function of the group's own norm, known at once): the
/// sum of the second kind can be kept while waves pass, and is multiplied by the first when all
/// have been seen.
class Coefficients {
 public:
  /// For `layers` parameters; keeps references to the other arguments.
  Coefficients(int64_t layers, const Grouping& grouping, const ClipRule& rule,
               const ClipState& state);

  /// Common numbers to keep apart: the domains of Scope::domain under Rule::min, otherwise one.
  int64_t domains() const { return domains_; }
  int64_t domain(int64_t j) const { return domains_ == 1 ? 0 : grouping_.domains()[j]; }
  /// The part that group j's own norms decide, for parameter l.
  double factor(int64_t l, int64_t j) const { return factors_[scope(l) * grouping_.groups() + j]; }
  /// Takes in the squared norms sumsq [L, last - first] of the groups [first, last).
  void see(int64_t first, int64_t last, const std::vector<double>& sumsq);
  /// The number common to all groups of a domain, for parameter l, once every group has been seen.
  double common(int64_t l, int64_t domain) const;
  /// factor x common, the weight of group j in the update, rounded so that the group that sets rho
  /// has exactly c = 1.
  double weight(int64_t l, int64_t j) const;
  /// What was seen, once every group has been; throws RunError for OnNonfinite::error.
  GroupNorms finish();

 private:
  int64_t scope(int64_t l) const { return scopes_ == 1 ? 0 : l; }
  double rho(int64_t s, int64_t domain) const;
  double reduction(int64_t s) const;
  double coefficient(int64_t s, int64_t j) const;
  void see_scope(int64_t s, int64_t first, const std::vector<double>& norms,
                 const std::vector<double>& total);

  int64_t layers_, scopes_, domains_;
  const Grouping& grouping_;
  const ClipRule& rule_;
  const ClipState& state_;
  std::vector<double> factors_, norms_;   // [scopes, K]
  std::vector<double> rho_;               // [scopes, domains]
  std::vector<double> examples_, count_;  // [scopes]: examples and groups that take part
  GroupNorms seen_;
};

}  // namespace minnow
