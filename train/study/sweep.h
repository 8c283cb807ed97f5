#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/study/study_folder.h"
#include "train/study/variants.h"

namespace minnow::study {

struct SweepOptions {
  std::vector<int64_t> micro_batches = {1, 4, 16};  ///< ascending
  Budget budget = {};
  Runs::Options runs = {};
};

/// Plain training and micro-batch clipping at several sizes b of the micro-batches.
struct Sweep {
  Config config;
  Compared plain;
  std::vector<int64_t> micro_batches;
  std::vector<Compared> clipped;  ///< one for each of them

  Metric metric() const { return metrics_of(config).front(); }
};

/// `arguments`: as for `minnow train`; `folder`: of the runs. Nothing where the user interrupted
/// it. Error for micro-batches that do not fit the batch, and as Runs and compare() throw.
std::optional<Sweep> study_sweep(const std::vector<std::string>& arguments,
                                 const SweepOptions& options, const std::filesystem::path& folder);

/// What the sweep says of the choice of b.
struct Advice {
  Verdict better = Verdict::unclear;        ///< whether some b beats plain training
  std::optional<int64_t> micro_batch = {};  ///< of the best of those that do
  std::string text = {};                    ///< with its uncertainty
};
/// A size beats plain training, or is beaten by it, where the paired test says so at the level
/// 0.05 / number of sizes (Bonferroni).
Advice advise(const Sweep& sweep);

}  // namespace minnow::study
