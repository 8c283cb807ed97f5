#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "train/config.h"
#include "train/study/runs.h"
#include "train/study/statistics.h"

namespace minnow::study {

/// One way of training, to be compared with others.
struct Variant {
  std::string name;  ///< of files
  Config config;
};

/// What every variant may spend: the same learning rates, each tried with the same seeds and for as
/// long, and then the same seeds at the best of them. The seeds count from the configuration's.
struct Budget {
  std::vector<double> lrs = {};  ///< empty: 1/2, 1, 2 and 4 times optim.lr; one: nothing is tuned
  int64_t tune_seeds = 1;
  int64_t seeds = 3;
  /// Share of the training examples that the rates are tuned on, held out from those runs; 0: on
  /// what the final runs are measured on.
  double validation = 0.1;
};

/// A number of "eval" records, in 0..1.
struct Metric {
  std::string key, title;
  bool higher_is_better;

  /// 1 where `a` is better than `b`, -1 where it is worse, 0 where they are equal.
  int compare(double a, double b) const;
};
/// What models of this kind are compared by, the first one above all: "top1", "top5"; "top1" of
/// texts; or "wer", "cer".
std::vector<Metric> metrics_of(const Config& config);

/// Of a run's last evaluation; of a diverged one what a model has that is never right: an accuracy
/// of 0, an error rate of 1.
double value_of(const RunResult& result, const Metric& metric);

/// A learning rate, and how well the runs that tried it did.
struct Trial {
  double lr = 0;
  std::vector<Run> runs = {};
  std::vector<RunResult> results = {};

  int64_t diverged() const;
  std::vector<double> values(const Metric& metric) const;
};

/// A variant, its tuning and its runs at the best rate, seed by seed.
struct Compared {
  Variant variant;
  std::vector<Trial> tuning;  ///< empty: nothing was tuned
  Trial best;

  /// Whether a smaller or larger rate than all that were tried might be better.
  bool at_edge() const;
};

/// The configuration of a recipe and settings for a study that makes its runs itself. Error for
/// settings of a run's folder, and for a recipe without evaluations.
Config study_config(std::span<const std::string> arguments);

/// Tunes and trains all variants. Nothing where the user interrupted that. Error for a budget that
/// makes no sense.
std::optional<std::vector<Compared>> compare(Runs& runs, const std::vector<Variant>& variants,
                                             const Budget& budget);

/// The variant's values against those of another, by seed; nothing for a single seed.
std::optional<PairedTest> paired(const Compared& variant, const Compared& other,
                                 const Metric& metric);

}  // namespace minnow::study
