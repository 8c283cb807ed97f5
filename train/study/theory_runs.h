#pragma once

#include <string>
#include <vector>

#include "train/study/simulation.h"
#include "train/study/statistics.h"
#include "train/study/study_folder.h"
#include "train/study/theory_report.h"

namespace minnow::study {

using Numbers = std::vector<double>;

/// The runs of one kind, one for each seed.
struct Runs {
  Numbers average, last;
  Numbers stretches;  ///< means over the runs

  /// Of the mean over the runs: an upper estimate of min_t E|g_t|.
  double lowest() const;
};

Runs repeat(const Problem& problem, Method method, int64_t b, int64_t T, int64_t seeds);

/// Half an interval; 0 where there is none.
double margin(const Summary& summary);
/// "none" where it is infinite.
std::string short_text(double value);
/// "0.12 +- 0.01"
std::string interval(const Numbers& values);
/// Where a measurement lies beside a bound: "below", "above" by more than its interval, "unclear",
/// or "no bound".
const char* beside(const Numbers& measured, double bound);

struct Judged {
  Verdict verdict;
  std::string why;
};
/// Whether the smallest mean belongs to a size that is neither the first nor the last. `values`:
/// for each size one for each seed. Paired t-tests of the best size, against both ends where it
/// lies between them, and where it is an end against all sizes between: "fails" needs the end to
/// beat every one of these. The p values are corrected for the number of sizes.
Judged judge_sweet_spot(const std::vector<int64_t>& sizes, const std::vector<Numbers>& values);

/// Sections of the report. `b`: the smallest that Theorem 4.2 speaks of.
void report_c_hat(Report& report, const Constants& constants);
void report_without_assumptions(Report& report, const TheoryOptions& options, int64_t b);
void report_counterexamples(Report& report, int64_t seeds);

}  // namespace minnow::study
