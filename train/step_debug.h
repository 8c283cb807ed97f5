#pragma once

#include <limits>
#include <set>
#include <string>

#include "data/dataset.h"
#include "engine/grouped_backward.h"

namespace minnow {

/// What log.debug says of one step.
class StepDebug {
 public:
  void note(const Treatment& treatment);
  /// "step 7: inputs [16, 304, 80], 4.6 % of them padding; 4 micro-batches, tau 32: 61 parameters
  /// instantiated, 30 of them of 104 .. 2812 rows; 1 norm-only of 26 rows". A parameter is in both
  /// counts where waves differ, and in none where every micro-batch was computed alone. Rows are as
  /// ParamGrad::rows counts them.
  std::string line(int64_t step, const Batch& batch, const Grouping& groups, double tau) const;

 private:
  /// Parameters that were treated alike. Rows per micro-batch are known only of some of them.
  struct Some {
    std::set<const Parameter*> all, counted;
    double fewest = std::numeric_limits<double>::infinity(), most = 0;
  };
  static std::string rows(const Some& some);

  Some instantiated_, norm_only_;
};

/// The share of the batch's tokens, or frames, that lie beyond the ends of their examples; 0 where
/// all examples are alike.
double padding_share(const Batch& batch);

}  // namespace minnow
