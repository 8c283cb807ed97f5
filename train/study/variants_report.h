#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/study/study_folder.h"
#include "train/study/variants.h"

namespace CLI {
class App;
}

namespace minnow::study {

using Variants = std::vector<const Compared*>;

/// "+1.20 +- 0.80 points, p = 0.021"; says so where there is one seed.
std::string difference_text(const std::optional<PairedTest>& test);
/// How the rates were tuned and the runs made.
std::string describe_budget(const Budget& budget, const Variants& variants);
/// The table of the final runs; all but the first variant are compared with it.
void add_results(Report& report, const Variants& variants);
/// The table of the learning rates that were tried.
void add_tuning(Report& report, const Variants& variants);
/// Loss over steps, mean over the seeds, on logarithmic axes: of training and of evaluation.
void add_curves(Report& report, const Variants& variants);
/// runs.csv, every run of the study, and curves.csv.
void add_run_numbers(Report& report, const Variants& variants);

/// --lrs, --seeds, --tune-seeds, --validation, --jobs, --keep-checkpoints.
void add_budget_options(CLI::App& app, Budget& budget, Runs::Options& runs);
/// What they do, for a footer.
extern const char* const kRunsHelp;

/// Where the folder has no page yet, leaves one that says that the study is going on: the runs that
/// come to lie beside it are then known to be its own.
void announce(const Report& report, const std::filesystem::path& folder);
/// Says how to go on; the exit status.
int interrupted(const std::string& command);

}  // namespace minnow::study
