#include "train/study/variants_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <map>

#include "train/commands.h"

namespace minnow::study {
namespace {

std::string percent(const std::vector<double>& shares) {
  std::vector<double> percents;
  percents.reserve(shares.size());
  for (const double share : shares) percents.push_back(100 * share);
  return summarise(percents).text();
}

/// How often each loss of the records stands at which step.
using Points = std::map<int64_t, std::vector<Point>>;

/// The points of all runs, by step; or together by twelfths of a decade, as a logarithmic axis
/// shows them.
Points gather(const Compared& variant, bool training) {
  Points points;
  for (const RunResult& result : variant.best.results) {
    const History::Curves& curves = training ? result.history.steps : result.history.evals;
    const auto loss = curves.find("loss");
    if (loss == curves.end()) continue;
    for (const Point& point : loss->second) {
      const int64_t key =
          training ? std::llround(std::floor(12 * std::log10(point.x))) : std::llround(point.x);
      points[key].push_back(point);
    }
  }
  return points;
}

Series mean_curve(const Compared& variant, bool training) {
  Series series{.name = variant.variant.name,
                .style = training ? Style::lines : Style::line_points};
  for (const auto& [key, points] : gather(variant, training)) {
    double x = 0, y = 0;
    for (const Point& point : points) {
      x += point.x;
      y += point.y;
    }
    series.x.push_back(x / static_cast<double>(points.size()));
    series.y.push_back(y / static_cast<double>(points.size()));
  }
  return series;
}

constexpr const char* kCurveTitles[] = {"Loss of evaluation", "Loss of training"};

std::string diverged_text(const Trial& trial) {
  const int64_t n = trial.diverged();
  return n == 0 ? "" : fmt::format("{} of {} diverged", n, trial.results.size());
}

void add_run_rows(std::vector<Row>& rows, const Compared& variant, const Trial& trial,
                  const char* use) {
  for (size_t i = 0; i < trial.runs.size(); ++i) {
    const RunResult& result = trial.results[i];
    Row row{variant.variant.name,
            use,
            exact(trial.lr),
            std::to_string(trial.runs[i].config.seed),
            result.diverged ? "diverged " + result.why : "finished",
            exact(result.seconds)};
    for (const Metric& metric : metrics_of(variant.variant.config))
      row.push_back(exact(value_of(result, metric)));
    rows.push_back(std::move(row));
  }
}

}  // namespace

const char* const kRunsHelp =
    "Every variant has its learning rate tuned on the same grid, with part of the training "
    "examples held out for\nit, and is then trained with the same seeds. The runs are kept in "
    "DIR/runs; none is made twice: after an\ninterruption, or with more seeds, rates or variants, "
    "the same command goes on. A run that diverges counts\nas one that is never right. Takes as "
    "long as (variants) x (rates x tuning seeds + seeds) runs.\n";

std::string difference_text(const std::optional<PairedTest>& test) {
  if (!test) return "one seed: no test";
  return fmt::format("{:+.2f} +- {:.2f} points, p = {:.3g}", 100 * test->mean_difference,
                     100 * test->half_width, test->p);
}

std::string describe_budget(const Budget& budget, const Variants& variants) {
  const Compared& first = *variants.front();
  const Config& config = first.variant.config;
  const uint64_t last = config.seed + static_cast<uint64_t>(budget.seeds - 1);
  std::string text = fmt::format(
      "Every variant sees the same examples in the same order from the same weights, seed by seed "
      "({}), for as many steps. What is compared is the last evaluation, on the test split; "
      "nothing "
      "is chosen by looking at those before it. ",
      budget.seeds == 1 ? fmt::format("seed {}", last)
                        : fmt::format("seeds {} to {}", config.seed, last));
  if (first.tuning.empty()) {
    return text + fmt::format("The learning rate, {}, was not tuned: the variants share it.",
                              first.best.lr);
  }
  std::vector<double> rates;
  for (const Trial& trial : first.tuning) rates.push_back(trial.lr);
  text += fmt::format(
      "The learning rate of every variant is the best of {} by {}, each tried with {} seed(s) for "
      "as many epochs or steps as the final runs. ",
      fmt::join(rates, ", "), metrics_of(config).front().title, budget.tune_seeds);
  if (budget.validation > 0) {
    return text + fmt::format(
                      "The data have no validation split: the rates were tuned on {:.3g} % of the "
                      "training examples, held out from those runs alone. The test split had no "
                      "say in them.",
                      100 * budget.validation);
  }
  return text +
         "The rates were tuned on the very examples that the final runs are measured on, so "
         "that all results look better than they would on others.";
}

void add_results(Report& report, const Variants& variants) {
  const std::vector<Metric> metrics = metrics_of(variants.front()->variant.config);
  Row header{"variant", "learning rate"};
  for (const Metric& metric : metrics) header.push_back(metric.title + " %");
  header.insert(header.end(), {fmt::format("{} against {}", metrics.front().title,
                                           variants.front()->variant.name),
                               "remarks"});
  std::vector<Row> rows;
  for (const Compared* variant : variants) {
    Row row{variant->variant.name, fmt::format("{}", variant->best.lr)};
    for (const Metric& metric : metrics) row.push_back(percent(variant->best.values(metric)));
    row.push_back(variant == variants.front()
                      ? ""
                      : difference_text(paired(*variant, *variants.front(), metrics.front())));
    std::string remarks = diverged_text(variant->best);
    if (variant->at_edge())
      remarks += std::string(remarks.empty() ? "" : "; ") + "the rate is at the end of the grid";
    row.push_back(remarks);
    rows.push_back(std::move(row));
  }
  report.table(
      "Last evaluations: mean, half of its 95 % interval (Student's t), standard deviation; "
      "differences by a paired t-test",
      header, rows);
}

void add_tuning(Report& report, const Variants& variants) {
  const Metric metric = metrics_of(variants.front()->variant.config).front();
  std::vector<Row> rows;
  for (const Compared* variant : variants) {
    for (const Trial& trial : variant->tuning) {
      rows.push_back({variant->variant.name, fmt::format("{}", trial.lr),
                      percent(trial.values(metric)), diverged_text(trial),
                      trial.lr == variant->best.lr ? "chosen" : ""});
    }
  }
  if (rows.empty()) return;
  report.table("Tuning of the learning rate",
               {"variant", "learning rate", metric.title + " %", "remarks", ""}, rows);
}

void add_curves(Report& report, const Variants& variants) {
  for (const bool training : {true, false}) {
    Plot plot{.title = fmt::format("{}, mean over the seeds", kCurveTitles[training ? 1 : 0]),
              .x_label = "step",
              .y_label = "loss",
              .log_x = true,
              .log_y = true};
    for (const Compared* variant : variants) plot.series.push_back(mean_curve(*variant, training));
    report.plot(plot);
  }
}

void add_run_numbers(Report& report, const Variants& variants) {
  Row header{"variant", "use", "lr", "seed", "state", "seconds"};
  for (const Metric& metric : metrics_of(variants.front()->variant.config))
    header.push_back(metric.key);
  std::vector<Row> rows, curves;
  double seconds = 0;
  int64_t count = 0;
  for (const Compared* variant : variants) {
    for (const Trial& trial : variant->tuning) add_run_rows(rows, *variant, trial, "tuning");
    add_run_rows(rows, *variant, variant->best, "final");
    for (const bool training : {true, false}) {
      const Series curve = mean_curve(*variant, training);
      for (size_t i = 0; i < curve.x.size(); ++i)
        curves.push_back({variant->variant.name, training ? "training" : "evaluation",
                          exact(curve.x[i]), exact(curve.y[i])});
    }
  }
  for (const Row& row : rows) {
    seconds += std::stod(row[5]);
    ++count;
  }
  report.paragraph(fmt::format("{} runs took {:.0f} s of training in all.", count, seconds));
  report.csv("runs", header, rows);
  report.csv("curves", {"variant", "split", "step", "loss"}, curves);
}

void add_budget_options(CLI::App& app, Budget& budget, Runs::Options& runs) {
  app.add_option("--lrs", budget.lrs,
                 "learning rates to try; 1/2, 1, 2, 4 times optim.lr if left out; one: no tuning")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LR,LR,...");
  app.add_option("--seeds", budget.seeds, "runs of each variant at its best rate")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--tune-seeds", budget.tune_seeds, "runs of each rate")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--validation", budget.validation,
                 "share of the training examples that the rates are tuned on; 0: the test split")
      ->type_name("SHARE")
      ->capture_default_str();
  app.add_option("--jobs", runs.jobs, "runs at a time, each in a process of its own if several")
      ->type_name("N")
      ->capture_default_str();
  app.add_flag("--keep-checkpoints", runs.keep_checkpoints,
               "keep the last weights of every run, too");
}

void announce(const Report& report, const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / "report.html")) return;
  Report page = report;
  page.paragraph("The runs are going on, or have been interrupted: the same command goes on.");
  page.write();
}

int interrupted(const std::string& command) {
  std::fputs(("interrupted; the same command goes on: " + command + "\n").c_str(), stderr);
  return kExitInterrupted;
}

}  // namespace minnow::study
