#include "train/step_debug.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace minnow {

double padding_share(const Batch& batch) {
  if (!batch.lengths.defined()) return 0;
  const int64_t* lengths = batch.lengths.data<int64_t>();
  const int64_t live = std::accumulate(lengths, lengths + batch.size(), int64_t{0});
  return 1 - static_cast<double>(live) / static_cast<double>(batch.size() * batch.inputs.dim(1));
}

void StepDebug::note(const Treatment& treatment) {
  Some& some = treatment.instantiated ? instantiated_ : norm_only_;
  some.all.insert(&treatment.parameter);
  if (treatment.rows == 0 || std::isinf(treatment.rows)) return;
  some.counted.insert(&treatment.parameter);
  some.fewest = std::min(some.fewest, treatment.rows);
  some.most = std::max(some.most, treatment.rows);
}

std::string StepDebug::rows(const Some& some) {
  if (some.counted.empty()) return "";
  const std::string range = some.fewest == some.most
                                ? fmt::format("{:.0f} rows", some.most)
                                : fmt::format("{:.0f} .. {:.0f} rows", some.fewest, some.most);
  return some.counted == some.all ? fmt::format(" of {}", range)
                                  : fmt::format(", {} of them of {}", some.counted.size(), range);
}

std::string StepDebug::line(int64_t step, const Batch& batch, const Grouping& groups,
                            double tau) const {
  std::string text = fmt::format("step {}: inputs {}", step, to_string(batch.inputs.shape()));
  if (batch.lengths.defined()) {
    text += fmt::format(", {:.1f} % of them padding", 100 * padding_share(batch));
  }
  if (groups.groups() == 1) return text + "; no micro-batches";
  text += fmt::format("; {} micro-batches", groups.groups());
  if (instantiated_.all.empty() && norm_only_.all.empty()) return text + ", each computed alone";
  return text + fmt::format(", tau {:.4g}: {} parameters instantiated{}; {} norm-only{}", tau,
                            instantiated_.all.size(), rows(instantiated_), norm_only_.all.size(),
                            rows(norm_only_));
}

}  // namespace minnow
