#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "train/study/cli.h"
#include "train/study/norms.h"
#include "train/study/study_folder.h"

namespace minnow::study {
namespace {

double per(double sum, int64_t count) {
  return count == 0 ? NAN : sum / static_cast<double>(count);
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

const Row kHeader{"",
                  "micro-batches",
                  "mean norm",
                  "mean coefficient",
                  "set the minimum",
                  "relative to their number",
                  "share of the plain update",
                  "share of the clipped update"};

/// `steps`: how many minima, and whole updates, there were.
Row row_of(const std::string& name, const Tally& tally, int64_t all, int64_t steps) {
  const double share = per(static_cast<double>(tally.count), all);
  return {name,
          std::to_string(tally.count),
          fmt::format("{:.4g}", per(tally.norms, tally.count)),
          fmt::format("{:.4g}", per(tally.coefficients, tally.count)),
          std::to_string(tally.minima),
          fmt::format("{:.2f}", per(static_cast<double>(tally.minima), steps) / share),
          percent(per(tally.plain, steps)),
          percent(per(tally.clipped, steps))};
}

Row exact_row(Row names, const Tally& tally) {
  names.insert(names.end(),
               {std::to_string(tally.count), std::to_string(tally.minima), exact(tally.norms),
                exact(tally.coefficients), exact(tally.plain), exact(tally.clipped)});
  return names;
}

Row exact_header(Row names) {
  names.insert(names.end(), {"count", "minima", "sum of norms", "sum of coefficients",
                             "sum of shares of plain updates", "sum of shares of clipped updates"});
  return names;
}

constexpr const char* kMarkNames[] = {"without a dragger", "with a dragger"};

int64_t total(const NormTallies& tallies) {
  return tallies.marks()[0].count + tallies.marks()[1].count;
}

void add_marks(Report& report, const NormTallies& tallies) {
  std::vector<Row> rows;
  for (size_t mark = 0; mark < NormTallies::kMarks; ++mark) {
    if (tallies.marks()[mark].count == 0) continue;
    rows.push_back(
        row_of(kMarkNames[mark], tallies.marks()[mark], total(tallies), tallies.steps()));
  }
  report.table("By mark", kHeader, rows);
}

void add_quantiles(Report& report, const NormTallies& tallies) {
  std::vector<Row> rows;
  Series plain{.name = "plain: n / sum of n"}, clipped{.name = "clipped: c n / sum of c n"};
  for (size_t q = 0; q < NormTallies::kQuantiles; ++q) {
    const Tally& tally = tallies.quantiles()[q];
    if (tally.count == 0) continue;
    const double top = 100.0 * static_cast<double>(q + 1) / NormTallies::kQuantiles;
    rows.push_back(
        row_of(fmt::format("up to {:.0f} %", top), tally, total(tallies), tallies.steps()));
    plain.x.push_back(top);
    clipped.x.push_back(top);
    plain.y.push_back(per(tally.plain, tallies.steps()));
    clipped.y.push_back(per(tally.clipped, tallies.steps()));
  }
  report.plot({.title = "What each tenth of the norms carries",
               .x_label = "up to this percentile of the norms of its step",
               .y_label = "share of the sum of norms",
               .series = {plain, clipped}});
  report.table("By the quantile of the norm within its step", kHeader, rows);
}

void add_course(Report& report, const NormTallies& tallies) {
  constexpr int64_t most = 40;
  const auto windows = tallies.windows(most);
  Plot norms{.title = "Mean norm over training", .x_label = "step", .y_label = "norm"};
  Plot coefficients{
      .title = "Mean coefficient over training", .x_label = "step", .y_label = "coefficient"};
  Plot minima{.title = "Who sets the minimum", .x_label = "step", .y_label = "share of steps"};
  for (size_t mark = 0; mark < NormTallies::kMarks; ++mark) {
    if (tallies.marks()[mark].count == 0) continue;
    Series norm{.name = kMarkNames[mark]}, coefficient = norm, minimum = norm;
    for (const auto& window : windows) {
      const Tally& tally = window.marks[mark];
      for (Series* series : {&norm, &coefficient, &minimum}) {
        series->x.push_back(static_cast<double>(window.first + window.last) / 2);
      }
      const int64_t set = window.marks[0].minima + window.marks[1].minima;
      norm.y.push_back(per(tally.norms, tally.count));
      coefficient.y.push_back(per(tally.coefficients, tally.count));
      minimum.y.push_back(per(static_cast<double>(tally.minima), set));
    }
    norms.series.push_back(norm);
    coefficients.series.push_back(coefficient);
    minima.series.push_back(minimum);
  }
  for (const Plot* plot : {&norms, &coefficients, &minima}) report.plot(*plot);
  std::vector<Row> rows;
  for (const auto& window : windows) {
    for (size_t mark = 0; mark < NormTallies::kMarks; ++mark) {
      rows.push_back(
          exact_row({std::to_string(window.first), std::to_string(window.last), kMarkNames[mark]},
                    window.marks[mark]));
    }
  }
  report.csv("course", exact_header({"first step", "last step", "mark"}), rows);
}

void add_classes(Report& report, const NormStudy& study) {
  const NormTallies& tallies = study.tallies;
  if (!study.why_no_classes.empty()) {
    report.paragraph("Not by class or example: " + study.why_no_classes);
    return;
  }
  std::vector<Row> rows, exact_rows;
  for (const auto& [name, tally] : tallies.classes()) {
    rows.push_back(row_of(name, tally, total(tallies), tallies.steps()));
    exact_rows.push_back(exact_row({name}, tally));
  }
  constexpr size_t most = 100;
  if (rows.size() <= most) report.table("By class", kHeader, rows);
  report.csv("classes", exact_header({"class"}), exact_rows);
}

/// The examples that set the minimum most often.
void add_examples(Report& report, const NormTallies& tallies) {
  std::vector<std::pair<int64_t, const NormTallies::Example*>> setters;
  for (const auto& [id, example] : tallies.examples()) {
    if (example.tally.minima > 0) setters.emplace_back(id, &example);
  }
  if (setters.empty()) return;
  std::stable_sort(setters.begin(), setters.end(), [](const auto& a, const auto& b) {
    return a.second->tally.minima > b.second->tally.minima;
  });
  constexpr size_t most = 20;
  std::vector<Row> rows, exact_rows;
  for (const auto& [id, example] : setters) {
    const std::string mark = example->marked ? "yes" : "no";
    exact_rows.push_back(exact_row({std::to_string(id), example->name, mark}, example->tally));
    if (rows.size() == most) continue;
    rows.push_back({std::to_string(id), example->name, mark, std::to_string(example->tally.count),
                    std::to_string(example->tally.minima),
                    fmt::format("{:.4g}", per(example->tally.norms, example->tally.count))});
  }
  report.table(fmt::format("Examples that set the minimum: {} of {} did; the most frequent",
                           setters.size(), tallies.examples().size()),
               {"id", "class", "dragger", "times seen", "times the minimum", "mean norm"}, rows);
  report.csv("minima", exact_header({"id", "class", "dragger"}), exact_rows);
}

/// What the coefficients mean under the rule and scope of a run.
std::string about_coefficients(const Config& config) {
  if (config.clip.scope == "layer") return " c is the mean over the parameters.";
  if (config.clip.rule != "min") return "";
  return fmt::format(
      " Under clip.rule = min all shares of a clipped update{} are equal, that being the rule's "
      "purpose, but for gradients of norm 0: they have no direction and no share, and do not set "
      "the minimum.",
      config.clip.scope == "domain" ? " among the micro-batches of one domain" : "");
}

void describe(Report& report, const NormStudy& study, const std::string& run) {
  report.paragraph(fmt::format(
      "{}: {} recorded steps, clip.rule = {}, clip.scope = {}, micro-batches of {}. A micro-batch "
      "of norm n and coefficient c gives the plain update n / (sum of n) and the clipped one "
      "c n / (sum of c n) of its length, added up without regard to direction.{}",
      run, study.tallies.steps(), study.config.clip.rule, study.config.clip.scope,
      study.config.clip.micro_batch, about_coefficients(study.config)));
}

}  // namespace

Subcommand add_norms(CLI::App& study) {
  struct Request {
    std::vector<std::string> arguments;
    std::string folder;
  };
  auto request = std::make_shared<Request>();
  CLI::App* app = study.add_subcommand(
      "norms", "A run's gradient norms by mark and class: who sets the minimum");
  app->add_option("arguments", request->arguments,
                  "the folder of a run with log.norms=true; and key=value settings, which win")
      ->required()
      ->type_name("RUN [KEY=VALUE...]");
  add_folder_option(*app, "norms", request->folder);
  app->footer(
      "With clip.micro_batch=1 also by class and by example, where the data are still at hand.\n"
      "\nExample:\n"
      "  minnow train recipe.toml data.draggers=0.1 clip.rule=min log.norms=true "
      "run.dir=runs/mine\n"
      "  minnow study norms runs/mine");
  return {app, [request](const std::string& command) {
            Report report("norms", "Gradient norms of a run", command, request->folder);
            const NormStudy study = study_norms(request->arguments);
            describe(report, study, request->arguments.front());
            add_marks(report, study.tallies);
            add_course(report, study.tallies);
            add_quantiles(report, study.tallies);
            add_classes(report, study);
            add_examples(report, study.tallies);
            report.save();
            return 0;
          }};
}

}  // namespace minnow::study
