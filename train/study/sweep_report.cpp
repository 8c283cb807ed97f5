#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "train/commands.h"
#include "train/study/cli.h"
#include "train/study/sweep.h"
#include "train/study/variants_report.h"

namespace minnow::study {
namespace {

std::vector<const Compared*> all_of(const Sweep& sweep) {
  std::vector<const Compared*> all{&sweep.plain};
  for (const Compared& compared : sweep.clipped) all.push_back(&compared);
  return all;
}

/// How the sizes at the ends of the paper's Table 2 do here.
void judge_ends(Report& report, const Sweep& sweep) {
  const Metric metric = sweep.metric();
  for (size_t i = 0; i < sweep.clipped.size(); ++i) {
    const int64_t b = sweep.micro_batches[i];
    const auto test = paired(sweep.clipped[i], sweep.plain, metric);
    if (!test) continue;
    const int order = metric.compare(test->mean_difference, 0);
    const std::string why = fmt::format("{} {}", metric.title, difference_text(test));
    if (b == 1) {
      report.verdict("Table 2: b = 1 is worse than plain training",
                     test->p >= 0.05 ? Verdict::unclear
                     : order < 0     ? Verdict::holds
                                     : Verdict::fails,
                     why);
    }
    if (b == sweep.config.train.batch) {
      report.verdict("Table 2: b = B is plain training",
                     test->p >= 0.05 ? Verdict::holds : Verdict::fails, why);
    }
  }
}

void write_report(Report& report, const Sweep& sweep, const SweepOptions& options) {
  const Advice advice = advise(sweep);
  report.verdict("Tables 2 and 4: there is a b at which clipping beats plain training",
                 advice.better, advice.text);
  judge_ends(report, sweep);
  const auto variants = all_of(sweep);
  report.paragraph(fmt::format(
      "Plain training, and clip.rule = min with micro-batches of b examples, of batches of {}: {} "
      "learns {}.",
      sweep.config.train.batch, sweep.config.model.name, sweep.config.data.set.name));
  report.paragraph(describe_budget(options.budget, variants));
  report.paragraph("Recommendation: " + advice.text + ".");
  add_results(report, variants);
  add_tuning(report, variants);
  add_curves(report, variants);
  report.heading("Numbers");
  add_run_numbers(report, variants);
}

}  // namespace

Subcommand add_sweep(CLI::App& study) {
  struct Request {
    std::vector<std::string> arguments;
    std::string folder;
    SweepOptions options;
  };
  auto request = std::make_shared<Request>();
  CLI::App* app = study.add_subcommand(
      "sweep", "Figure 2, Tables 2 and 4: plain training against several sizes of micro-batches");
  app->add_option("arguments", request->arguments, "a recipe to train, and settings, which win")
      ->type_name("[RECIPE.toml] [KEY=VALUE...]");
  app->add_option("--micro-batches", request->options.micro_batches, "sizes b")
      ->delimiter(',')
      ->allow_extra_args(false)  // the words that follow are settings
      ->type_name("B,B,...")
      ->default_str("1,4,16");
  add_budget_options(*app, request->options.budget, request->options.runs);
  add_folder_option(*app, "sweep", request->folder);
  app->footer(std::string(kRunsHelp) +
              "\nExamples:\n"
              "  minnow study sweep recipe.toml --micro-batches 1,4,16,64 --jobs 2\n"
              "  minnow study sweep recipe.toml data.draggers=0.1 --lrs 5e-4,1e-3,2e-3 --seeds 5");
  return {app, [request](const std::string& command) {
            const SweepOptions& options = request->options;
            Report report("sweep", "Sizes of micro-batches", command, request->folder);
            announce(report, request->folder);
            const auto sweep = study_sweep(request->arguments, options, request->folder);
            if (!sweep) return interrupted(command);
            write_report(report, *sweep, options);
            report.save();
            return 0;
          }};
}

}  // namespace minnow::study
