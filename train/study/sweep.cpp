#include "train/study/sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/check.h"

namespace minnow::study {
namespace {

constexpr double kLevel = 0.05;

void check_sizes(const std::vector<int64_t>& sizes, const Config& config) {
  check(!sizes.empty(), "--micro-batches: name at least one size");
  for (size_t i = 0; i < sizes.size(); ++i) {
    check(sizes[i] >= (i == 0 ? 1 : sizes[i - 1] + 1),
          "--micro-batches: must ascend from 1 or more; got {}", fmt::join(sizes, ","));
    check(sizes[i] <= config.train.batch, "--micro-batches: {} is larger than train.batch = {}",
          sizes[i], config.train.batch);
  }
}

/// A size whose difference to plain training is told from 0.
struct Told {
  size_t at;
  PairedTest test;
};

std::string in_points(const PairedTest& test) {
  return fmt::format("{:+.2f} +- {:.2f} points", 100 * test.mean_difference, 100 * test.half_width);
}

/// Sizes that the paired test does not tell from the one at `best`.
std::string as_good_as(const Sweep& sweep, size_t best) {
  std::vector<std::string> names;
  for (size_t i = 0; i < sweep.clipped.size(); ++i) {
    if (i == best) continue;
    const auto test = paired(sweep.clipped[i], sweep.clipped[best], sweep.metric());
    if (test->p >= kLevel) names.push_back(std::to_string(sweep.micro_batches[i]));
  }
  return names.empty() ? "every other size is told from it"
                       : fmt::format("not told from it: b = {}", fmt::join(names, ", "));
}

Advice of_best(const Sweep& sweep, const std::vector<Told>& better) {
  const Metric metric = sweep.metric();
  const Told best =
      *std::max_element(better.begin(), better.end(), [&](const Told& a, const Told& b) {
        return metric.compare(a.test.mean_difference, b.test.mean_difference) < 0;
      });
  const int64_t size = sweep.micro_batches[best.at];
  return {Verdict::holds, size,
          fmt::format("b = {}: {} {} against plain training (95 % interval, p = {:.3g}); {}", size,
                      metric.title, in_points(best.test), best.test.p, as_good_as(sweep, best.at))};
}

}  // namespace

std::optional<Sweep> study_sweep(const std::vector<std::string>& arguments,
                                 const SweepOptions& options, const std::filesystem::path& folder) {
  Config config = study_config(arguments);
  check(config.clip.rule == "none" || config.clip.rule == "min",
        "clip.rule: the sweep sets it, none and min; got {}", config.clip.rule);
  check_sizes(options.micro_batches, config);
  config.clip.rule = "none";
  std::vector<Variant> variants{{"plain", config}};
  for (const int64_t b : options.micro_batches) {
    Config clipped = config;
    clipped.clip.rule = "min";
    clipped.clip.micro_batch = b;
    variants.push_back({fmt::format("b{}", b), clipped});
  }
  Runs runs(folder, options.runs);
  auto compared = compare(runs, variants, options.budget);
  if (!compared) return std::nullopt;
  return Sweep{
      config,
      std::move(compared->front()),
      options.micro_batches,
      {std::make_move_iterator(compared->begin() + 1), std::make_move_iterator(compared->end())}};
}

Advice advise(const Sweep& sweep) {
  const Metric metric = sweep.metric();
  if (sweep.plain.best.results.size() < 2) {
    return {.text = "one seed says nothing of how results spread: no recommendation"};
  }
  const double level = kLevel / static_cast<double>(sweep.clipped.size());
  std::vector<Told> better;
  size_t worse = 0;
  double least = 1;
  for (size_t i = 0; i < sweep.clipped.size(); ++i) {
    const PairedTest test = *paired(sweep.clipped[i], sweep.plain, metric);
    least = std::min(least, test.p);
    if (test.p >= level) continue;
    if (metric.compare(test.mean_difference, 0) > 0) {
      better.push_back({i, test});
    } else {
      ++worse;
    }
  }
  if (!better.empty()) return of_best(sweep, better);
  if (worse == sweep.clipped.size()) {
    return {.better = Verdict::fails, .text = "plain training: it beats every b that was tried"};
  }
  return {.text = fmt::format(
              "no difference: no b is told to be better than plain training by {} seeds (smallest "
              "p = {:.3g}; wanted: below {:.3g}, 0.05 shared by {} sizes{}); plain training costs "
              "least",
              sweep.plain.best.results.size(), least, level, sweep.clipped.size(),
              worse == 0 ? "" : fmt::format("; {} of them worse than plain training", worse))};
}

}  // namespace minnow::study
