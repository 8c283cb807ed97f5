#include "train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "data/open.h"
#include "engine/files.h"
#include "train/report_style.h"
#include "train/report_svg.h"
#include "train/report_tables.h"
#include "train/run_folder.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Points = std::vector<Point>;

/// The last part of the run's path that is a name.
std::string run_name(const Config& config) {
  const fs::path dir = (fs::current_path() / config.run.dir).lexically_normal();
  return (dir.has_filename() ? dir : dir.parent_path()).filename().string();
}

Points scaled(Points points, double factor) {
  for (Point& point : points) point.y *= factor;
  return points;
}

const Points& points_of(const History::Curves& curves, const std::string& name) {
  static const Points none;
  const auto found = curves.find(name);
  return found == curves.end() ? none : found->second;
}

/// The curves of a plot by their keys in the records, and what they are called.
std::vector<Curve> curves_of(const History::Curves& curves,
                             std::vector<std::pair<const char*, const char*>> named,
                             double factor = 1) {
  std::vector<Curve> all;
  for (const auto& [key, name] : named) {
    const Points& points = points_of(curves, key);
    if (!points.empty()) all.push_back({name, scaled(points, factor)});
  }
  return all;
}

int64_t groups_of(const Config& config) {
  const int64_t b = config.uses_groups() ? config.clip.micro_batch : config.train.batch;
  return (config.train.batch + b - 1) / b;
}

/// Micro-batches that were empty, of zero norm or not finite.
std::string ineligible_plot(const Config& config, const History& history) {
  const Points& counts = points_of(history.steps, "ineligible");
  const bool any =
      std::any_of(counts.begin(), counts.end(), [](const Point& point) { return point.y > 0; });
  if (!any) return {};
  if (config.train.batch_frames > 0) {  // steps of which each has its own number of micro-batches
    return draw({.title = "Ineligible micro-batches",
                 .unit = "a step",
                 .curves = {{"zero or not finite", counts}}});
  }
  const auto K = static_cast<double>(groups_of(config));
  return draw({.title = "Ineligible micro-batches",
               .unit = "% of a step's",
               .curves = {{"zero or not finite", scaled(counts, 100 / K)}}});
}

std::string plots(const Config& config, const History& history) {
  std::vector<Curve> losses = curves_of(history.steps, {{"loss", "training"}});
  for (Curve& curve : curves_of(history.evals, {{"loss", "test"}})) losses.push_back(curve);
  return "<div class=\"plots\">\n" + draw({.title = "Loss", .curves = losses}) +
         draw({.title = "Accuracy on the test split",
               .unit = "%",
               .curves = curves_of(history.evals, {{"top1", "top-1"}, {"top5", "top-5"}}, 100)}) +
         draw(
             {.title = "Error rate on the test split",
              .unit = "%",
              .curves = curves_of(history.evals, {{"wer", "words"}, {"cer", "characters"}}, 100)}) +
         draw({.title = "Norms of the gradients",
               .curves = curves_of(
                   history.steps,
                   {{"rho", "rho, the smallest"}, {"norm_mean", "mean"}, {"norm_max", "largest"}}),
               .logarithmic = true}) +
         draw({.title = "Learning rate", .curves = curves_of(history.steps, {{"lr", "lr"}})}) +
         ineligible_plot(config, history) + draw_norms(history.norms) +
         draw({.title = "Speed",
               .unit = "examples a second",
               .curves = curves_of(history.steps, {{"examples_per_s", "examples/s"}})}) +
         "</div>\n";
}

std::string fact(const std::string& name, const std::string& value) {
  return fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", name, html_escape(value));
}

std::string facts(const Config& config, const History& history) {
  const auto& [data, clip] = std::tie(config.data.set, config.clip);
  const std::string batch = config.train.batch_frames > 0
                                ? fmt::format("{} frames, {} examples at most",
                                              config.train.batch_frames, config.train.batch)
                                : std::to_string(config.train.batch);
  std::string html = "<table class=\"facts\">\n";
  html += fact("Model", config.model.name);
  html += fact("Data", data.path.empty() ? data.name : data.name + ", " + data.path);
  html += fact("Clipping", clip.rule == "none" ? "none"
                                               : fmt::format("{}, micro-batches of {} in {}",
                                                             clip.rule, clip.micro_batch, batch));
  html += fact("Optimizer", fmt::format("{}, learning rate {}, batch {}", config.optim.name,
                                        config.optim.lr, batch));
  if (const Points& losses = points_of(history.steps, "loss"); !losses.empty())
    html += fact("Last recorded step",
                 fmt::format("{}, loss {:.4f}", losses.back().x, losses.back().y));
  if (const Points& scores = points_of(history.evals, "top1"); !scores.empty()) {
    const Point best = *std::max_element(scores.begin(), scores.end(),
                                         [](const Point& a, const Point& b) { return a.y < b.y; });
    html += fact("Top-1 accuracy",
                 fmt::format("{:.2f} % at step {}; best {:.2f} % at step {}", 100 * scores.back().y,
                             scores.back().x, 100 * best.y, best.x));
  }
  return html + "</table>\n";
}

}  // namespace

fs::path report_path(const fs::path& run_dir) {
  return run_dir / "report.html";
}

std::string report_page(const Config& config, const History& history, const Dataset* pictures,
                        const std::string& why) {
  const std::string name = html_escape(run_name(config));
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{} - minnow</title>\n<style>{}</style></head><body>\n<h1>{}</h1>\n{}"
      "<h2>Over the steps</h2>\n{}{}{}"
      "<h2>Configuration</h2>\n<details><summary>Every key</summary><pre>{}</pre></details>\n"
      "</body></html>\n",
      name, kReportStyle, name, facts(config, history), plots(config, history),
      confusion_section(history.evaluation), examples_section(history, pictures, why),
      html_escape(to_toml(config)));
}

void write_report(const fs::path& run_dir, const fs::path& to) {
  check(fs::is_directory(run_dir), "{}: there is no such run folder", run_dir.string());
  Config config;
  apply_file(config, run_dir / "config.toml");
  config.run.dir = run_dir.string();  // it may have been moved
  History history(config.train.batch);
  history.add_file(metrics_path(run_dir));
  check(history.records > 0, "{}: holds no record of a step or an evaluation yet",
        metrics_path(run_dir).string());
  std::shared_ptr<const Dataset> pictures;
  std::string why;
  if (!history.examples.empty()) {
    try {
      DatasetConfig data = config.dataset();
      data.cache_bytes = 0;  // a few pictures are wanted, not all
      pictures = open_dataset(data, Split::train);
    } catch (const Error& error) {
      why = error.what();
    }
  }
  write_file_atomically(to, report_page(config, history, pictures.get(), why));
}

}  // namespace minnow
