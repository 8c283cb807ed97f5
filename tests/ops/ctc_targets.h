#pragma once

#include <algorithm>
#include <vector>

#include "engine/ops.h"

namespace minnow::test {

using Labels = std::vector<int64_t>;

/// What ctc_loss takes beside the logits.
struct CtcTargets {
  Tensor lengths, labels, label_counts;

  /// Of the examples [begin, end).
  CtcTargets slice(int64_t begin, int64_t end) const {
    return {lengths.slice(begin, end), labels.slice(begin, end), label_counts.slice(begin, end)};
  }
};

/// One element of each list an example. What lies behind an example's labels is no label: nobody
/// may read it.
inline CtcTargets ctc_targets(const std::vector<int64_t>& lengths,
                              const std::vector<Labels>& labels) {
  const auto examples = std::ssize(labels);
  int64_t most = 0;
  for (const Labels& l : labels) most = std::max<int64_t>(most, std::ssize(l));
  Tensor padded = Tensor::full({examples, most}, -7, DType::int64);
  std::vector<int64_t> counts;
  for (int64_t b = 0; b < examples; ++b) {
    std::copy(labels[b].begin(), labels[b].end(), padded.data<int64_t>() + b * most);
    counts.push_back(std::ssize(labels[b]));
  }
  return {Tensor::from(lengths, {std::ssize(lengths)}), padded, Tensor::from(counts, {examples})};
}

inline Var ctc_loss(const Var& logits, const CtcTargets& t) {
  return minnow::ctc_loss(logits, t.lengths, t.labels, t.label_counts);
}

}  // namespace minnow::test
