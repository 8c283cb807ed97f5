#include "train/study/cli.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "engine/check.h"
#include "engine/files.h"
#include "train/study/study_folder.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;

/// A word as a shell reads it back.
std::string shell_word(const std::string& word) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string("_-+=./,:@%").find(static_cast<char>(c)) != std::string::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

Commands::Commands(CLI::App& app)
    : study_(app.add_subcommand("study", "Measure what the paper states, claim by claim")) {
  study_->require_subcommand(1);
  study_->get_formatter()->column_width(26);
  study_->footer(
      "Each study writes one folder with report.html, which needs no network, and every number as "
      ".csv.\nPlots are drawn by gnuplot (Debian's gnuplot-nox).\n"
      "\nExamples:\n"
      "  minnow study theory\n"
      "  minnow study cosine recipe.toml data.draggers=0.1\n"
      "  minnow study sweep recipe.toml --micro-batches 1,4,16\n"
      "  minnow study report studies/* -o paper.html\n\n"
      "`minnow study NAME --help` says what a study does.");
  subcommands_ = {add_theory(*study_), add_cosine(*study_),  add_c_hat(*study_), add_norms(*study_),
                  add_sweep(*study_),  add_domains(*study_), add_report(*study_)};
}

void Commands::check_name(int argc, const char* const* argv) const {
  if (argc < 3 || argv[1] != study_->get_name() || argv[2][0] == '-') return;
  std::vector<std::string> names;
  for (const Subcommand& study : subcommands_) names.push_back(study.app->get_name());
  check(std::find(names.begin(), names.end(), argv[2]) != names.end(),
        "study: there is no study {}; there are {}", argv[2], fmt::join(names, ", "));
}

bool Commands::parsed() const {
  return study_->parsed();
}

int Commands::run(int argc, const char* const* argv) const {
  std::string command = "minnow";
  for (int i = 1; i < argc; ++i) command += " " + shell_word(argv[i]);
  for (const Subcommand& subcommand : subcommands_) {
    if (subcommand.app->parsed()) return subcommand.run(command);
  }
  throw Error("study: no study was named");
}

void add_folder_option(CLI::App& app, const std::string& study, std::string& folder) {
  folder = "studies/" + study;
  app.add_option("-o,--out", folder, "the folder of the results; an earlier result is replaced")
      ->type_name("DIR")
      ->capture_default_str();
}

void add_source_options(CLI::App& app, std::vector<std::string>& arguments, int64_t& points) {
  app.add_option("arguments", arguments,
                 "the folder of a run, or a recipe to train; and key=value settings, which win")
      ->type_name("[RUN|RECIPE.toml] [KEY=VALUE...]");
  app.add_option("--points", points,
                 "checkpoints to look at beside the start of training; 0: nothing is trained")
      ->type_name("N")
      ->capture_default_str();
}

Subcommand add_report(CLI::App& study) {
  struct Options {
    std::vector<std::string> folders;
    std::string output = "studies.html";
  };
  auto options = std::make_shared<Options>();
  CLI::App* app = study.add_subcommand("report", "Bind the reports of several studies into a page");
  app->add_option("folders", options->folders, "folders that studies wrote")
      ->required()
      ->type_name("DIR");
  app->add_option("-o", options->output, "the file to write")
      ->type_name("FILE")
      ->capture_default_str();
  app->footer("Example:\n  minnow study report studies/* -o paper.html");
  return {app, [options](const std::string&) {
            const fs::path to = options->output;
            check(!fs::is_directory(to), "-o: {} is a folder; name a file", to.string());
            const std::vector<fs::path> folders(options->folders.begin(), options->folders.end());
            write_file_atomically(to, bound_page(folders, to));
            fmt::print("report: {}\n", to.string());
            return 0;
          }};
}

}  // namespace minnow::study
