#include "train/study/variants.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "engine/check.h"

namespace minnow::study {
namespace {

std::vector<double> rates_of(const Budget& budget, const Config& config) {
  if (!budget.lrs.empty()) return budget.lrs;
  const double lr = config.optim.lr;
  return {lr / 2, lr, 2 * lr, 4 * lr};
}

void check_budget(const Budget& budget) {
  check(budget.seeds >= 1, "--seeds: must be 1 or more; got {}", budget.seeds);
  check(budget.tune_seeds >= 1, "--tune-seeds: must be 1 or more; got {}", budget.tune_seeds);
  check(budget.validation >= 0 && budget.validation < 1,
        "--validation: must be at least 0 and below 1; got {}", budget.validation);
  for (size_t i = 0; i < budget.lrs.size(); ++i) {
    const double lr = budget.lrs[i];
    check(std::isfinite(lr) && lr > (i == 0 ? 0 : budget.lrs[i - 1]),
          "--lrs: must be positive and ascend; got {}", fmt::join(budget.lrs, ","));
  }
}

Trial trial(const Variant& variant, double lr, int64_t seeds, const std::string& prefix) {
  Trial trial{.lr = lr};
  for (int64_t i = 0; i < seeds; ++i) {
    Config config = variant.config;
    config.optim.lr = lr;
    config.seed += static_cast<uint64_t>(i);
    check_config(config);
    trial.runs.push_back(
        {fmt::format("{}{}_lr{}_seed{}", prefix, variant.name, lr, config.seed), config});
  }
  return trial;
}

/// Trains the runs of all trials, and reads what came of them.
bool finish(Runs& runs, const std::vector<Trial*>& trials) {
  std::vector<Run> all;
  for (const Trial* trial : trials) all.insert(all.end(), trial->runs.begin(), trial->runs.end());
  if (!runs.finish(all)) return false;
  for (Trial* trial : trials) {
    for (const Run& run : trial->runs) trial->results.push_back(runs.result(run));
  }
  return true;
}

double mean_of(const Trial& trial, const Metric& metric) {
  return summarise(trial.values(metric)).mean;
}

/// The rate of the best trial; of equal ones the smallest. One that diverged less is better,
/// whatever the others say.
double best_rate(const std::vector<Trial>& trials, const Metric& metric) {
  const Trial* best = &trials.front();
  for (const Trial& trial : trials) {
    const int64_t more = trial.diverged() - best->diverged();
    const int order = metric.compare(mean_of(trial, metric), mean_of(*best, metric));
    if (more < 0 || (more == 0 && order > 0)) best = &trial;
  }
  return best->lr;
}

}  // namespace

int Metric::compare(double a, double b) const {
  const int order = a > b ? 1 : a < b ? -1 : 0;
  return higher_is_better ? order : -order;
}

std::vector<Metric> metrics_of(const Config& config) {
  if (config.model.name == "conformer") return {{"wer", "WER", false}, {"cer", "CER", false}};
  if (config.model.name == "text") return {{"top1", "accuracy", true}};  // of few classes
  return {{"top1", "top-1", true}, {"top5", "top-5", true}};
}

double value_of(const RunResult& result, const Metric& metric) {
  if (result.diverged) return metric.higher_is_better ? 0 : 1;
  check(result.history.evaluation.contains(metric.key),
        "a run's metrics.jsonl has no evaluation with {}", metric.key);
  return result.history.evaluation.at(metric.key);
}

int64_t Trial::diverged() const {
  return std::count_if(results.begin(), results.end(),
                       [](const RunResult& result) { return result.diverged; });
}

std::vector<double> Trial::values(const Metric& metric) const {
  std::vector<double> values;
  for (const RunResult& result : results) values.push_back(value_of(result, metric));
  return values;
}

bool Compared::at_edge() const {
  return !tuning.empty() && (best.lr == tuning.front().lr || best.lr == tuning.back().lr);
}

Config study_config(std::span<const std::string> arguments) {
  Config config;
  apply_arguments(config, arguments);
  for (const std::string& key : differing_keys(Config(), config)) {
    check(!key.starts_with("run.") || key == "run.checkpoint_every",
          "{}: the study makes the folders of its runs itself; --out says where", key);
  }
  check(config.data.validation == 0,
        "data.validation: the study holds out examples itself, for tuning alone; --validation says "
        "how many");
  check(config.train.eval_every > 0,
        "train.eval_every: the runs are compared by their last evaluation, and 0 means none");
  return config;
}

std::optional<std::vector<Compared>> compare(Runs& runs, const std::vector<Variant>& variants,
                                             const Budget& budget) {
  check_budget(budget);
  std::vector<Compared> all;
  std::vector<Trial*> trials;
  for (const Variant& variant : variants) {
    Compared& compared = all.emplace_back(Compared{variant, {}, {}});
    const std::vector<double> rates = rates_of(budget, variant.config);
    if (rates.size() == 1) continue;
    Variant tuned = variant;
    if (budget.validation > 0) tuned.config.data.validation = budget.validation;
    for (const double lr : rates)
      compared.tuning.push_back(trial(tuned, lr, budget.tune_seeds, "tuning_"));
  }
  for (Compared& compared : all) {
    for (Trial& trial : compared.tuning) trials.push_back(&trial);
  }
  if (!finish(runs, trials)) return std::nullopt;
  trials.clear();
  for (Compared& compared : all) {
    const Config& config = compared.variant.config;
    const double lr = compared.tuning.empty()
                          ? rates_of(budget, config).front()
                          : best_rate(compared.tuning, metrics_of(config).front());
    compared.best = trial(compared.variant, lr, budget.seeds, "");
    trials.push_back(&compared.best);
  }
  if (!finish(runs, trials)) return std::nullopt;
  return all;
}

std::optional<PairedTest> paired(const Compared& variant, const Compared& other,
                                 const Metric& metric) {
  if (variant.best.results.size() < 2) return std::nullopt;
  return paired_t_test(variant.best.values(metric), other.best.values(metric));
}

}  // namespace minnow::study
