#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/study/simulation.h"

namespace minnow::study {

/// What `minnow study theory` computes.
struct TheoryOptions {
  Constants constants;
  std::vector<int64_t> T = {100, 400, 1600, 6400, 25600};  ///< ascending
  std::vector<int64_t> b = {1, 2, 4, 8, 16, 32, 64};       ///< ascending
  int64_t seeds = 5;
  Loss loss = Loss::quadratic;
};

/// Sets one of epsilon, sigma, c, C, L, gap, B, T, b, seeds, loss from "key=value". Error for
/// another key or a value that is none.
void set_option(TheoryOptions& options, const std::string& argument);
/// One line for every key, with its value in `options`.
std::string describe(const TheoryOptions& options);
/// Error where an option, or a pair of them, is outside what the theorems speak of.
void check_options(const TheoryOptions& options);

/// Evaluates the bounds, simulates, and writes the report into `folder`.
void study_theory(const TheoryOptions& options, const std::string& command,
                  const std::filesystem::path& folder);

}  // namespace minnow::study
