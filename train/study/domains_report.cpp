#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "train/study/cli.h"
#include "train/study/domains.h"
#include "train/study/variants_report.h"

namespace minnow::study {
namespace {

using Names = std::vector<std::string>;

/// A quarter of the domains, those with the most training examples or with the fewest.
Names largest(const Mixture& mixture) {
  const size_t n = std::max<size_t>(1, mixture.domains.size() / 4);
  return {mixture.domains.begin(), mixture.domains.begin() + static_cast<std::ptrdiff_t>(n)};
}
Names smallest(const Mixture& mixture) {
  const size_t n = std::max<size_t>(1, mixture.domains.size() / 4);
  return {mixture.domains.end() - static_cast<std::ptrdiff_t>(n), mixture.domains.end()};
}

/// nothing for a single seed.
std::optional<PairedTest> compared_on(const Names& domains, const Compared& a, const Compared& b) {
  if (a.best.results.size() < 2) return std::nullopt;
  return paired_t_test(accuracies(a, domains), accuracies(b, domains));
}

void judge_one(Report& report, const std::string& claim, const Names& domains, const Compared& a,
               const Compared& b, bool better) {
  const auto test = compared_on(domains, a, b);
  const bool told = test && test->p < 0.05;
  report.verdict(
      claim,
      !told                                   ? Verdict::unclear
      : (test->mean_difference > 0) == better ? Verdict::holds
                                              : Verdict::fails,
      fmt::format("{} against {}: {}", a.variant.name, b.variant.name, difference_text(test)));
}

void judge(Report& report, const std::vector<Mixture>& mixtures) {
  const Mixture &unbalanced = mixtures[0], &alone = mixtures[2];
  const Compared &plain = *unbalanced.find(kPlain), &mixed = *unbalanced.find(kMixed),
                 &scope = *unbalanced.find(kScope);
  const Names most{unbalanced.domains.front()};
  judge_one(report, "Table 5: clipping helps the largest domain of an unbalanced mixture", most,
            mixed, plain, true);
  judge_one(report, "Table 5: clipping harms the smallest quarter of the domains",
            smallest(unbalanced), mixed, plain, false);
  judge_one(report, "Table 6: clipping helps a domain that is alone", alone.domains,
            *alone.find(kMixed), *alone.find(kPlain), true);
  judge_one(report,
            "Remedy: the minimum within each domain is better for the smallest quarter than that "
            "over all",
            smallest(unbalanced), scope, mixed, true);
}

std::string in_percent(std::vector<double> values) {
  for (double& value : values) value *= 100;
  return summarise(values).text();
}

void add_summary(Report& report, const Mixture& mixture) {
  const Compared& plain = *mixture.find(kPlain);
  const struct {
    const char* title;
    Names domains;
  } parts[] = {{"all domains", mixture.domains},
               {"largest domain", {mixture.domains.front()}},
               {"largest quarter", largest(mixture)},
               {"smallest quarter", smallest(mixture)},
               {"smallest domain", {mixture.domains.back()}}};
  std::vector<Row> rows;
  for (const auto& [title, domains] : parts) {
    for (const Compared& variant : mixture.variants) {
      rows.push_back(
          {title, variant.variant.name, fmt::format("{}", variant.best.lr),
           in_percent(accuracies(variant, domains)),
           &variant == &plain ? "" : difference_text(compared_on(domains, variant, plain)),
           variant.best.diverged() == 0 ? ""
                                        : fmt::format("{} of {} diverged", variant.best.diverged(),
                                                      variant.best.results.size())});
    }
    if (mixture.domains.size() == 1) break;
  }
  report.table(
      fmt::format("Mixture {}: accuracy %, mean over domains of equal weight", mixture.name),
      {"domains", "variant", "learning rate", "mean, half of its 95 % interval (sd)",
       "against plain", "remarks"},
      rows);
}

/// Accuracy of every domain, and how far it is from plain training.
void add_domains(Report& report, const Mixture& mixture) {
  if (mixture.domains.size() == 1) return;
  Row header{"domain", "training examples"};
  for (const Compared& variant : mixture.variants) header.push_back(variant.variant.name);
  std::vector<Row> rows;
  Plot plot{.title = fmt::format("Mixture {}: accuracy against plain training", mixture.name),
            .x_label = "domain, from the one with the most training examples on",
            .y_label = "points"};
  for (size_t v = 1; v < mixture.variants.size(); ++v)
    plot.series.push_back({.name = mixture.variants[v].variant.name});
  for (size_t d = 0; d < mixture.domains.size(); ++d) {
    const Names domain{mixture.domains[d]};
    Row row{domain.front(), std::to_string(mixture.examples[d])};
    for (size_t v = 0; v < mixture.variants.size(); ++v) {
      row.push_back(in_percent(accuracies(mixture.variants[v], domain)));
      if (v == 0) continue;
      const double difference = summarise(accuracies(mixture.variants[v], domain)).mean -
                                summarise(accuracies(mixture.variants[0], domain)).mean;
      plot.series[v - 1].x.push_back(static_cast<double>(d + 1));
      plot.series[v - 1].y.push_back(100 * difference);
    }
    rows.push_back(std::move(row));
  }
  report.table(fmt::format("Mixture {}: accuracy % of every domain", mixture.name), header, rows);
  report.plot(plot);
}

void add_accuracies(Report& report, const std::vector<Mixture>& mixtures) {
  std::vector<Row> rows;
  for (const Mixture& mixture : mixtures) {
    for (const Compared& variant : mixture.variants) {
      for (size_t d = 0; d < mixture.domains.size(); ++d) {
        const std::vector<double> values = accuracies(variant, {mixture.domains[d]});
        for (size_t i = 0; i < values.size(); ++i)
          rows.push_back({mixture.name, variant.variant.name, mixture.domains[d],
                          std::to_string(mixture.examples[d]),
                          std::to_string(variant.best.runs[i].config.seed), exact(values[i])});
      }
    }
  }
  report.csv("domains", {"mixture", "variant", "domain", "examples", "seed", "top1"}, rows);
}

Variants pointers(const std::vector<Mixture>& mixtures) {
  Variants all;
  for (const Mixture& mixture : mixtures) {
    for (const Compared& variant : mixture.variants) all.push_back(&variant);
  }
  return all;
}

void write_report(Report& report, const std::vector<Mixture>& mixtures,
                  const DomainsOptions& options) {
  judge(report, mixtures);
  report.paragraph(fmt::format(
      "Mixtures of {} domains: unbalanced, where the largest has {} training examples and the "
      "smallest {}; balanced, of as many examples in all; and {} alone. In each: plain training, "
      "clip.rule = min with micro-batches of {} as they come ({}), with micro-batches of one "
      "domain each ({}), and with the smallest norm taken within each domain ({}).",
      mixtures[0].domains.size(), mixtures[0].examples.front(), mixtures[0].examples.back(),
      mixtures[2].domains.front(), options.micro_batch, kMixed, kOneDomain, kScope));
  const Variants all = pointers(mixtures);
  report.paragraph(describe_budget(options.budget, all));
  for (const Mixture& mixture : mixtures) {
    report.heading("Mixture " + mixture.name);
    add_summary(report, mixture);
    add_domains(report, mixture);
  }
  report.heading("Runs");
  add_tuning(report, all);
  add_accuracies(report, mixtures);
  add_run_numbers(report, all);
}

}  // namespace

Subcommand add_domains(CLI::App& study) {
  struct Request {
    std::vector<std::string> arguments;
    std::string folder;
    DomainsOptions options;
  };
  auto request = std::make_shared<Request>();
  CLI::App* app = study.add_subcommand(
      "domains", "Tables 5 and 6: clipping where the data are of several domains");
  app->add_option("arguments", request->arguments, "a recipe to train, and settings, which win")
      ->type_name("[RECIPE.toml] [KEY=VALUE...]");
  app->add_option("--micro-batch", request->options.micro_batch, "their size b")
      ->type_name("B")
      ->capture_default_str();
  app->add_option("--imbalance", request->options.imbalance,
                  "examples of the largest domain / of the smallest, in the unbalanced mixture")
      ->type_name("RATIO")
      ->capture_default_str();
  app->add_option("--alone", request->options.alone,
                  "the domain to train on alone; the largest of the unbalanced mixture if left out")
      ->type_name("NAME");
  add_budget_options(*app, request->options.budget, request->options.runs);
  add_folder_option(*app, "domains", request->folder);
  app->footer(std::string(kRunsHelp) +
              "\nExamples:\n"
              "  minnow study domains train/recipes/reviews_text.toml data.path=PATH --jobs 2\n"
              "  minnow study domains recipe.toml data.path=PATH --imbalance 50 --alone books");
  return {app, [request](const std::string& command) {
            const DomainsOptions& options = request->options;
            Report report("domains", "Several domains", command, request->folder);
            announce(report, request->folder);
            const auto mixtures = study_domains(request->arguments, options, request->folder);
            if (!mixtures) return interrupted(command);
            write_report(report, *mixtures, options);
            report.save();
            return 0;
          }};
}

}  // namespace minnow::study
