#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "train/study/c_hat.h"
#include "train/study/cli.h"
#include "train/study/study_folder.h"

namespace minnow::study {
namespace {

std::string with_error(const NormMean& value) {
  return fmt::format("{:.4g} +- {:.2g}", value.mean, value.error);
}

/// A way to make a micro-batch of draggers, and where its norms are.
struct Mix {
  const char* name;
  NormMean CHat::*norms;
};
constexpr Mix kMixes[] = {{"draggers only", &CHat::draggers}, {"one dragger", &CHat::one}};

void add_tables(Report& report, const CHatStudy& study) {
  for (const CHatMoment& moment : study.moments) {
    std::vector<Row> rows;
    for (const CHat& size : moment.sizes) {
      const NormMean all = ratio(size.benign, size.draggers), one = ratio(size.benign, size.one);
      rows.push_back({std::to_string(size.micro_batch), with_error(size.benign),
                      with_error(size.untrimmed), with_error(size.draggers), with_error(size.one),
                      with_error(all), with_error(ratio(size.draggers, size.benign)),
                      with_error(one), with_error(ratio(size.one, size.benign)),
                      fmt::format("{:.3g}", size.benign_uses),
                      fmt::format("{:.3g}", size.dragger_uses)});
    }
    report.table(fmt::format("After step {} (+- standard error)", moment.step),
                 {"b", "benign norm, trimmed", "benign norm, all", "norm, draggers only",
                  "norm, one dragger", "c-hat, draggers only: benign / dragger",
                  "its inverse: dragger / benign", "c-hat, one dragger", "its inverse",
                  "uses of a benign example", "uses of a dragger"},
                 rows);
  }
}

void add_plots(Report& report, const CHatStudy& study) {
  for (const Mix& mix : kMixes) {
    Plot plot{.title = fmt::format("Micro-batches of {} (bars: standard error)", mix.name),
              .x_label = "micro-batch size b",
              .y_label = "c-hat = benign norm / dragger norm",
              .log_x = true};
    for (const CHatMoment& moment : study.moments) {
      Series series{.name = fmt::format("step {}", moment.step)};
      for (const CHat& size : moment.sizes) {
        const NormMean c_hat = ratio(size.benign, size.*mix.norms);
        series.x.push_back(static_cast<double>(size.micro_batch));
        series.y.push_back(c_hat.mean);
        series.error.push_back(c_hat.error);
      }
      plot.series.push_back(std::move(series));
    }
    report.plot(plot);
  }
}

void add_numbers(Report& report, const CHatStudy& study) {
  Row header{"step", "micro_batch"};
  for (const char* what : {"benign trimmed", "benign", "draggers", "one dragger", "c-hat draggers",
                           "c-hat one dragger"}) {
    header.insert(header.end(), {what, fmt::format("{}: standard error", what),
                                 fmt::format("{}: not finite", what)});
  }
  header.insert(header.end(), {"uses of a benign example", "uses of a dragger"});
  std::vector<Row> rows;
  for (const CHatMoment& moment : study.moments) {
    for (const CHat& size : moment.sizes) {
      Row row{std::to_string(moment.step), std::to_string(size.micro_batch)};
      for (const NormMean& value :
           {size.benign, size.untrimmed, size.draggers, size.one, ratio(size.benign, size.draggers),
            ratio(size.benign, size.one)}) {
        row.insert(row.end(),
                   {exact(value.mean), exact(value.error), std::to_string(value.nonfinite)});
      }
      row.insert(row.end(), {exact(size.benign_uses), exact(size.dragger_uses)});
      rows.push_back(std::move(row));
    }
  }
  report.csv("c-hat", header, rows);
}

/// Whether two values lie more than two standard errors of their difference apart: -1, 0, 1.
int compare(const NormMean& a, const NormMean& b) {
  const double apart = 2 * std::hypot(a.error, b.error);
  return a.mean > b.mean + apart ? 1 : a.mean < b.mean - apart ? -1 : 0;
}

Verdict verdict_of(int comparison, int wanted) {
  return comparison == wanted ? Verdict::holds
         : comparison == 0    ? Verdict::unclear
                              : Verdict::fails;
}

void judge(Report& report, const CHatStudy& study) {
  const CHatMoment& last = study.moments.back();
  const auto by_size = [](const CHat& a, const CHat& b) { return a.micro_batch < b.micro_batch; };
  const auto [small, large] = std::minmax_element(last.sizes.begin(), last.sizes.end(), by_size);
  const NormMean first = ratio(small->benign, small->draggers);
  report.verdict(
      "Table 3: a benign gradient is larger than a dragger's (c-hat above 1; 6.18 at b = 1)",
      verdict_of(compare(first, NormMean{.mean = 1}), 1),
      fmt::format("after step {}, c-hat = {} at b = {}", last.step, with_error(first),
                  small->micro_batch));
  if (small->micro_batch == large->micro_batch) return;
  for (const Mix& mix : kMixes) {
    const NormMean low = ratio(small->benign, (*small).*mix.norms),
                   high = ratio(large->benign, (*large).*mix.norms);
    report.verdict(
        fmt::format("Table 3: c-hat falls as b grows; micro-batches of {}", mix.name),
        verdict_of(compare(high, low), -1),
        fmt::format("after step {}, {} at b = {} and {} at b = {}", last.step, with_error(low),
                    small->micro_batch, with_error(high), large->micro_batch));
  }
}

void describe(Report& report, const CHatStudy& study, const CHatOptions& options) {
  report.paragraph(fmt::format(
      "Norms of the gradients of {} micro-batches of each size and kind: of benign examples (the "
      "largest {:.0f} % left out of their mean, as in the paper), of draggers only, and of one "
      "dragger among benign examples. They are drawn from {} benign and {} planted examples "
      "(data.dragger_kind = {}) of {}; the model is {}.",
      options.count, 100 * options.trimmed, study.benign, study.draggers,
      study.config.data.set.dragger_kind, study.config.data.set.name, study.config.model.name));
  report.paragraph(
      "Standard errors are those of a (trimmed) mean of independent micro-batches. An example "
      "comes again only when all have been used. Where that happens (the last columns of the "
      "tables: micro-batches times b / examples), micro-batches share examples, and the error is "
      "multiplied by the square root of the number of uses.");
  report.paragraph(
      "The paper defines c-hat as benign norm / dragger norm, but the c of Assumption 4.4 bounds "
      "the dragger's norm from below by c times the benign one: the inverse. Both are listed. The "
      "paper also does not say whether b is the size of the micro-batches whose gradients are "
      "measured, or only that of the run's clipping, with single examples measured. This study "
      "varies the former; for the latter, run it on runs with different clip.micro_batch and read "
      "the row b = 1.");
}

}  // namespace

Subcommand add_c_hat(CLI::App& study) {
  struct Request {
    std::vector<std::string> arguments;
    std::string folder;
    CHatOptions options;
  };
  auto request = std::make_shared<Request>();
  CLI::App* app = study.add_subcommand(
      "c-hat", "Table 3: gradient norms of benign micro-batches against those of draggers");
  add_source_options(*app, request->arguments, request->options.points);
  app->add_option("--micro-batches", request->options.micro_batches, "sizes b")
      ->delimiter(',')
      ->allow_extra_args(false)  // the words that follow are settings
      ->type_name("B,B,...")
      ->default_str("1,4,16");
  app->add_option("--count", request->options.count, "micro-batches of each size and kind")
      ->type_name("N")
      ->capture_default_str();
  add_folder_option(*app, "c-hat", request->folder);
  app->footer(
      "The draggers are planted examples (data.draggers, data.dragger_kind); there must be N of "
      "them, and as\nmany as the largest micro-batch.\n"
      "\nExamples:\n"
      "  minnow study c-hat runs/mine\n"
      "  minnow study c-hat recipe.toml data.draggers=0.1 --micro-batches 1,4,16");
  return {app, [request](const std::string& command) {
            const CHatOptions& options = request->options;
            Report report("c-hat", "Norms of benign and of dragger gradients", command,
                          request->folder);
            const CHatStudy study = study_c_hat(request->arguments, options);
            judge(report, study);
            describe(report, study, options);
            add_tables(report, study);
            add_plots(report, study);
            report.heading("Numbers");
            add_numbers(report, study);
            report.save();
            return 0;
          }};
}

}  // namespace minnow::study
