#pragma once

#include <filesystem>
#include <string>

#include "data/dataset.h"
#include "train/config.h"
#include "train/history.h"

namespace minnow {

/// DIR/report.html
std::filesystem::path report_path(const std::filesystem::path& run_dir);

/// A run as one HTML page that needs nothing else: curves, norms, confusion matrix, examples and
/// configuration, without scripts. `pictures` and `why` as in examples_section. The page is a
/// function of its arguments alone.
std::string report_page(const Config& config, const History& history, const Dataset* pictures,
                        const std::string& why = {});

/// Writes the report of the run in a folder into a file. Error where the folder holds no run, or
/// one without a record; RunError where the disk refuses. Where the data are no longer to be had,
/// the report says so.
void write_report(const std::filesystem::path& run_dir, const std::filesystem::path& to);

}  // namespace minnow
