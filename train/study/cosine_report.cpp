#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "train/study/cli.h"
#include "train/study/cosine.h"
#include "train/study/statistics.h"
#include "train/study/study_folder.h"

namespace minnow::study {
namespace {

struct Kind {
  const char* name;
  std::vector<double> Cosines::*values;
};
constexpr Kind kKinds[] = {{"dragger and benign", &Cosines::dragger_benign},
                           {"benign and benign", &Cosines::benign_benign},
                           {"dragger and average benign", &Cosines::dragger_average},
                           {"benign and average benign", &Cosines::benign_average}};

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-";
}

std::string with_interval(const Estimate& estimate) {
  return std::isfinite(estimate.value)
             ? fmt::format("{:.4f} +- {:.2g}", estimate.value, estimate.half_width)
             : "-";
}

/// Of no value: not a number.
Summary summary_or_nan(const std::vector<double>& values) {
  return values.empty() ? Summary{.mean = NAN, .sd = NAN, .half_width = NAN} : summarise(values);
}

std::string mean_and_sd(const std::vector<double>& values) {
  if (values.empty()) return "-";
  const Summary summary = summarise(values);
  return fmt::format("{} (sd {})", number(summary.mean), number(summary.sd));
}

Summary magnitudes(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  return summarise(values);
}

/// How many values lie in each of `bins` equal parts of [low, high].
Series histogram(const char* name, const std::vector<double>& values, double low, double high) {
  constexpr int64_t bins = 30;
  Series series{.name = name, .style = Style::histogram};
  const double width = (high - low) / bins;
  for (int64_t b = 0; b < bins; ++b) {
    series.x.push_back(low + (static_cast<double>(b) + 0.5) * width);
    series.y.push_back(0);
  }
  for (const double value : values) {
    const auto b = static_cast<int64_t>((value - low) / width);
    series.y[std::clamp<int64_t>(b, 0, bins - 1)] += 1;
  }
  return series;
}

Plot figure(const CosineMoment& moment) {
  const Cosines& whole = moment.parts.front();
  std::vector<double> all = whole.dragger_benign;
  all.insert(all.end(), whole.benign_benign.begin(), whole.benign_benign.end());
  Plot plot{.title = fmt::format("After step {}", moment.step),
            .x_label = "cosine of the whole gradients",
            .y_label = "pairs"};
  if (all.empty()) return plot;
  const auto [low, high] = std::minmax_element(all.begin(), all.end());
  const double top = *high > *low ? *high : *low + 1e-3;
  for (const Kind& kind : {kKinds[1], kKinds[0]}) {
    plot.series.push_back(histogram(kind.name, whole.*kind.values, *low, top));
  }
  return plot;
}

/// Means with their standard deviations over `x`; parts without any pair leave a gap.
Series means(const Kind& kind, const std::vector<const Cosines*>& parts,
             const std::vector<double>& x) {
  Series series{.name = kind.name, .x = x};
  for (const Cosines* part : parts) {
    const Summary summary = summary_or_nan(part->*kind.values);
    series.y.push_back(summary.mean);
    series.error.push_back(summary.sd);
  }
  return series;
}

Row row_of(const std::string& first, const Cosines& part) {
  Row row{first};
  for (const Kind& kind : kKinds) row.push_back(mean_and_sd(part.*kind.values));
  row.push_back(with_interval(part.expected));
  row.push_back(with_interval(part.norm_ratio));
  return row;
}

Row header_of(const std::string& first) {
  Row header{first};
  for (const Kind& kind : kKinds) header.emplace_back(kind.name);
  header.emplace_back("expected dragger and expected benign");
  header.emplace_back("dragger norm / expected benign norm");
  return header;
}

void add_over_training(Report& report, const CosineStudy& study) {
  std::vector<Row> rows;
  std::vector<const Cosines*> wholes;
  std::vector<double> steps;
  for (const CosineMoment& moment : study.moments) {
    report.plot(figure(moment));
    rows.push_back(row_of(std::to_string(moment.step), moment.parts.front()));
    wholes.push_back(&moment.parts.front());
    steps.push_back(static_cast<double>(moment.step));
  }
  report.table("Cosines of whole gradients, mean and standard deviation", header_of("step"), rows);
  Plot plot{.title = "Over training (bars: standard deviation)",
            .x_label = "step",
            .y_label = "cosine of the whole gradients"};
  for (const Kind& kind : kKinds) plot.series.push_back(means(kind, wholes, steps));
  if (steps.size() > 1) report.plot(plot);
}

void add_layers(Report& report, const CosineMoment& moment) {
  report.heading(fmt::format("Layer by layer, after step {}", moment.step));
  std::vector<Row> rows;
  std::vector<const Cosines*> layers;
  std::vector<double> places;
  for (size_t l = 1; l < moment.parts.size(); ++l) {
    rows.push_back(row_of(moment.parts[l].layer, moment.parts[l]));
    layers.push_back(&moment.parts[l]);
    places.push_back(static_cast<double>(l));
  }
  Plot plot{.title = "By layer (bars: standard deviation)",
            .x_label = "layer, in the order of the table",
            .y_label = "cosine"};
  for (const Kind& kind : {kKinds[0], kKinds[1]}) {
    plot.series.push_back(means(kind, layers, places));
  }
  report.plot(plot);
  report.table("Layers", header_of("layer"), rows);
}

void add_numbers(Report& report, const CosineStudy& study) {
  std::vector<Row> pairs, parts;
  for (const CosineMoment& moment : study.moments) {
    const std::string step = std::to_string(moment.step);
    for (const Kind& kind : kKinds) {
      for (const double value : moment.parts.front().*kind.values) {
        pairs.push_back({step, kind.name, exact(value)});
      }
    }
    for (const Cosines& part : moment.parts) {
      Row row{step, part.layer};
      for (const Kind& kind : kKinds) {
        const auto& values = part.*kind.values;
        const Summary s = summary_or_nan(values);
        row.insert(row.end(), {exact(s.mean), exact(s.sd), std::to_string(values.size())});
      }
      for (const double value :
           {part.all_dragger_benign, part.all_benign_benign, part.all_dragger_dragger,
            part.expected.value, part.expected.half_width, part.norm_ratio.value,
            part.norm_ratio.half_width}) {
        row.push_back(exact(value));
      }
      parts.push_back(std::move(row));
    }
  }
  Row header{"step", "part"};
  for (const Kind& kind : kKinds) {
    for (const char* what : {"mean", "sd", "pairs"}) {
      header.push_back(fmt::format("{}: {}", kind.name, what));
    }
  }
  header.insert(header.end(), {"all dragger-benign pairs: mean", "all benign-benign pairs: mean",
                               "all dragger-dragger pairs: mean", "expected gradients",
                               "expected gradients: half of the 95 % interval",
                               "dragger norm / expected benign norm",
                               "dragger norm / expected benign norm: half of the 95 % interval"});
  report.csv("pairs", {"step", "pair", "cosine"}, pairs);
  report.csv("cosines", header, parts);
}

/// Figure 1's claim, moment by moment: do the intervals of the mean magnitudes lie apart?
void judge_figure(Report& report, const CosineStudy& study) {
  int64_t smaller = 0, larger = 0;
  std::string why;
  for (const CosineMoment& moment : study.moments) {
    const Cosines& whole = moment.parts.front();
    if (whole.dragger_benign.size() < 2 || whole.benign_benign.size() < 2) continue;
    const Summary a = magnitudes(whole.dragger_benign), b = magnitudes(whole.benign_benign);
    smaller += a.mean + a.half_width < b.mean - b.half_width ? 1 : 0;
    larger += a.mean - a.half_width > b.mean + b.half_width ? 1 : 0;
    why +=
        fmt::format("{}step {}: {:.3f} +- {:.3f} against {:.3f} +- {:.3f}", why.empty() ? "" : "; ",
                    moment.step, a.mean, a.half_width, b.mean, b.half_width);
  }
  const int64_t all = std::ssize(study.moments);
  report.verdict(
      "Figure 1: the magnitude of the cosine is smaller for dragger-benign pairs than for "
      "benign-benign pairs",
      smaller == all               ? Verdict::holds
      : smaller == 0 && larger > 0 ? Verdict::fails
                                   : Verdict::unclear,
      fmt::format("smaller at {} of {} moments, larger at {} (95 % intervals apart): {}", smaller,
                  all, larger, why));
}

void judge_assumption(Report& report, const CosineStudy& study) {
  constexpr double near = 0.1;
  int64_t within = 0, beyond = 0;
  std::string why;
  for (const CosineMoment& moment : study.moments) {
    const Cosines& whole = moment.parts.front();
    const int found = orthogonal(whole, near);
    within += found == 1 ? 1 : 0;
    beyond += found == -1 ? 1 : 0;
    why += fmt::format("{}step {}: {}", why.empty() ? "" : "; ", moment.step,
                       with_interval(whole.expected));
  }
  const int64_t all = std::ssize(study.moments);
  report.verdict(
      "Assumption 4.4: draggers are orthogonal to the benign gradient",
      within == all ? Verdict::holds
      : beyond > 0  ? Verdict::fails
                    : Verdict::unclear,
      fmt::format("cosine of the expected gradients within 0.1 of 0 at {} of {} moments, beyond it "
                  "at {}: {}. Rule: the 95 % interval must lie on one side of 0.1, and counts only "
                  "where the mean cosine with the average benign gradient is clearly larger for "
                  "benign examples than for draggers (95 % intervals apart); within at every "
                  "moment: holds; beyond at one: fails; else unclear.",
                  within, all, beyond, why));
}

void describe(Report& report, const CosineStudy& study, const CosineOptions& options) {
  report.paragraph(fmt::format(
      "{0} planted draggers (data.dragger_kind = {1}) and {0} benign examples, drawn at random "
      "from the training data of {2}, whose gradients of {3} were taken one by one, with dropout "
      "and augmentation as in training. {0} pairs of each kind, as in the paper. The average "
      "benign gradient is that of {4} other examples.",
      options.examples, study.config.data.set.dragger_kind, study.config.data.set.name,
      study.config.model.name, study.reference));
  report.paragraph(
      "Single gradients are noisy, which brings every cosine nearer to 0. The column \"expected\" "
      "is free of that bias: the cosine of the mean dragger gradient and the mean benign gradient, "
      "from mean inner products of different examples. It is noisy still, and as a ratio of noisy "
      "means can lie beyond 1: +- is half of its 95 % interval by the jackknife. So is that of the "
      "last column, which Assumption 4.4 bounds by c and C. A dash: gradients that are zero, or "
      "the interval of a squared norm that is divided by reaches 0.");
}

std::string peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return fmt::format("{:.2f} GiB", static_cast<double>(usage.ru_maxrss) / 1048576.0);
}

void write(Report& report, const CosineStudy& study, const CosineOptions& options) {
  judge_figure(report, study);
  judge_assumption(report, study);
  describe(report, study, options);
  add_over_training(report, study);
  add_layers(report, study.moments.back());
  report.heading("Numbers");
  add_numbers(report, study);
  report.paragraph(fmt::format("{} examples at a time; the process took {} at most.", study.block,
                               peak_memory()));
  report.save();
}

}  // namespace

Subcommand add_cosine(CLI::App& study) {
  struct Request {
    std::vector<std::string> arguments;
    std::string folder;
    CosineOptions options;
  };
  auto request = std::make_shared<Request>();
  CLI::App* app = study.add_subcommand(
      "cosine", "Figure 1: cosines of the gradients of draggers and of benign examples");
  add_source_options(*app, request->arguments, request->options.points);
  app->add_option("--examples", request->options.examples, "draggers, and as many benign examples")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--reference", request->options.reference,
                  "other benign examples for the average gradient, or as many as there are")
      ->type_name("N")
      ->capture_default_str();
  app->add_option("--block", request->options.block,
                  "examples that pass through the model at a time; 0: as in a training step")
      ->type_name("N")
      ->capture_default_str();
  add_folder_option(*app, "cosine", request->folder);
  app->footer(
      "The draggers are planted examples (data.draggers, data.dragger_kind).\n"
      "\nExamples:\n"
      "  minnow study cosine runs/mine\n"
      "  minnow study cosine recipe.toml data.draggers=0.1 --points 3\n"
      "  minnow study cosine data.draggers=0.1 --points 0");
  return {app, [request](const std::string& command) {
            Report report("cosine", "Cosines of draggers and benign examples", command,
                          request->folder);
            write(report, study_cosines(request->arguments, request->options), request->options);
            return 0;
          }};
}

}  // namespace minnow::study
