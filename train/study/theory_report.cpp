#include "train/study/theory_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "train/study/study_folder.h"
#include "train/study/theory_runs.h"
#include "train/study/theory_text.h"

namespace minnow::study {
namespace {

class TheoryStudy {
 public:
  TheoryStudy(const TheoryOptions& options, Report& report)
      : o_(options), k_(options.constants), report_(report) {}

  void run() {
    simulate_all();
    report_.paragraph(
        "min_t E|g_t| is what both theorems bound. Both proofs bound the average of E|g_t| (or of "
        "its "
        "square) over t, which is what is measured here: +- is half of the 95 % interval over the "
        "seeds.");
    report_.preformatted(describe(o_));
    bounds();
    bounds_beside_measurements();
    sweet_spot();
    speed();
    report_c_hat(report_, k_);
    report_without_assumptions(report_, o_, covered());
    report_counterexamples(report_, o_.seeds);
    report_.heading("The proofs");
    report_.preformatted(kTheorem1Notes);
    report_.preformatted(kTheorem2Notes);
  }

 private:
  using Key = std::pair<int64_t, int64_t>;  // T, b

  Problem problem() const { return {.constants = k_, .loss = o_.loss}; }
  int64_t longest() const { return o_.T.back(); }
  /// The smallest b that Theorem 4.2 speaks of, or the largest of all.
  int64_t covered() const {
    for (const int64_t b : o_.b) {
      if (std::isfinite(clipped_bias(k_, static_cast<double>(b)))) return b;
    }
    return o_.b.back();
  }
  double bound(int64_t b, int64_t T) const {
    return clipped_bound(k_, static_cast<double>(b), static_cast<double>(T));
  }
  double repaired(int64_t b, int64_t T) const {
    return repaired_bound(k_, static_cast<double>(b), static_cast<double>(T));
  }

  void simulate_all() {
    for (const int64_t T : o_.T) {
      sgd_[T] = repeat(problem(), Method::sgd, k_.B, T, o_.seeds);
      for (const int64_t b : o_.b) {
        clipped_[{T, b}] = repeat(problem(), Method::normalised, b, T, o_.seeds);
        algorithm_[{T, b}] = repeat(problem(), Method::min_norm, b, T, o_.seeds);
      }
    }
  }

  Numbers sizes() const { return {o_.b.begin(), o_.b.end()}; }

  /// A series over b.
  template <class F>
  Series over_b(const std::string& name, F&& value) const {
    Series series{.name = name, .x = sizes()};
    for (const int64_t b : o_.b) series.y.push_back(value(b));
    return series;
  }
  /// A series over T.
  template <class F>
  Series over_T(const std::string& name, Style style, F&& value) const {
    Series series{.name = name, .x = {o_.T.begin(), o_.T.end()}, .style = style};
    for (const int64_t T : o_.T) series.y.push_back(value(T));
    return series;
  }

  void bounds() {
    report_.heading("The bounds as printed");
    std::vector<Row> rows, all;
    for (const int64_t b : o_.b) {
      const auto size = static_cast<double>(b);
      rows.push_back({exact(size), b * k_.epsilon > 1 - k_.epsilon ? "yes" : "no",
                      short_text(clipped_bias(k_, size)),
                      short_text(clipped_transient(k_, size, static_cast<double>(longest()))),
                      short_text(bound(b, longest())), short_text(repaired(b, longest()))});
    }
    report_.table(fmt::format("Theorem 4.2 at T = {}", longest()),
                  {"b", "epsilon > 1 / (b + 1)", "bias", "term in 1 / sqrt T", "sum",
                   "what can be proved (below)"},
                  rows);
    rows.clear();
    for (const int64_t T : o_.T) {
      const auto steps = static_cast<double>(T);
      rows.push_back({exact(steps), short_text(sgd_bound(k_, steps)),
                      short_text(plain_bound(k_, steps)), short_text(sgd_dragger_limit(k_, steps)),
                      short_text(sgd_dragger_limit_counted(k_, steps))});
    }
    report_.table("Theorem 4.1, and what its proof needs C to be at most",
                  {"T", "bound", "without draggers (Table 1)", "largest C: as the proof chooses it",
                   "largest C that will do, number of draggers random"},
                  rows);
  }

  void bounds_beside_measurements() {
    report_.heading("Beside the simulation");
    std::vector<Row> rows, all;
    Tally first, second, third;
    const auto add = [&](const std::string& method, int64_t T, int64_t b, const Runs& runs,
                         double limit) {
      const char* where = beside(runs.average, limit);
      rows.push_back({method, exact(static_cast<double>(T)), exact(static_cast<double>(b)),
                      interval(runs.average), interval(runs.last), short_text(limit), where});
      for (size_t i = 0; i < runs.average.size(); ++i)
        all.push_back({method, exact(static_cast<double>(T)), exact(static_cast<double>(b)),
                       exact(static_cast<double>(i)), exact(runs.average[i]), exact(runs.last[i]),
                       exact(limit)});
      return std::string(where);
    };
    for (const int64_t T : o_.T) {
      if (k_.C <= sgd_dragger_limit_counted(k_, static_cast<double>(T)))
        first.add(add("SGD", T, k_.B, sgd_[T], sgd_bound(k_, static_cast<double>(T))));
      else
        add("SGD, C above the proof's limit", T, k_.B, sgd_[T],
            sgd_bound(k_, static_cast<double>(T)));
      for (const int64_t b : o_.b) {
        second.add(add("equation 2", T, b, clipped_[{T, b}], bound(b, T)));
        third.add(beside(clipped_[{T, b}].average, repaired(b, T)));
        add("Algorithm 1", T, b, algorithm_[{T, b}], std::numeric_limits<double>::infinity());
      }
    }
    report_.verdict("Simulation: Theorem 4.1's bound, for C up to what its proof needs",
                    first.verdict(), first.text());
    report_.verdict("Simulation: Theorem 4.2's bound, for epsilon > 1 / (b + 1)", second.verdict(),
                    second.text());
    report_.verdict("Simulation: the bound that the notes below prove in its place",
                    third.verdict(), third.text());
    plots();
    report_.table(
        "Average norm of the gradient, its average over the last tenth of the steps, and "
        "the printed bound",
        {"method", "T", "b", "average", "last tenth", "bound", "average is"}, rows);
    report_.csv("simulation", {"method", "T", "b", "seed", "average", "last_tenth", "bound"}, all);
    report_.paragraph(
        "Equation 2 is the update that the proof treats. Algorithm 1 multiplies it by rho_t, the "
        "smallest norm (here with the mean over micro-batches for the sum, at the same step); no "
        "bound was proved for it. SGD is the mean of the batch.");
  }

  void plots() {
    const int64_t T = longest(), b = covered();
    Plot time{.title = "Average norm of the gradient over T",
              .x_label = "T",
              .y_label = "average |g|",
              .log_x = true,
              .log_y = true};
    const auto mean = [](const Numbers& values) { return summarise(values).mean; };
    time.series = {
        over_T("SGD", Style::line_points, [&](int64_t t) { return mean(sgd_[t].average); }),
        over_T(fmt::format("equation 2, b = {}", b), Style::line_points,
               [&](int64_t t) {
                 return mean(clipped_[{t, b}].average);
               }),
        over_T(fmt::format("equation 2, b = {}", o_.b.back()), Style::line_points,
               [&](int64_t t) {
                 return mean(clipped_[{t, o_.b.back()}].average);
               }),
        over_T("Theorem 4.1", Style::lines,
               [&](int64_t t) { return sgd_bound(k_, static_cast<double>(t)); }),
        over_T(fmt::format("Theorem 4.2, b = {}", b), Style::lines,
               [&](int64_t t) { return bound(b, t); }),
        over_T(fmt::format("Theorem 4.2, b = {}", o_.b.back()), Style::lines,
               [&](int64_t t) { return bound(o_.b.back(), t); })};
    report_.plot(time);
    Plot size{.title = fmt::format("Over the size of the micro-batches, T = {}", T),
              .x_label = "b",
              .y_label = "|g|",
              .log_x = true,
              .log_y = true};
    const auto measured = [&](const char* name, std::map<Key, Runs>& runs, Numbers Runs::*part) {
      Series series = over_b(name, [&](int64_t s) { return mean(runs[{T, s}].*part); });
      for (const int64_t s : o_.b) series.error.push_back(margin(summarise(runs[{T, s}].*part)));
      return series;
    };
    size.series = {measured("equation 2, average", clipped_, &Runs::average),
                   measured("equation 2, last tenth", clipped_, &Runs::last),
                   measured("Algorithm 1, average", algorithm_, &Runs::average),
                   measured("Algorithm 1, last tenth", algorithm_, &Runs::last),
                   over_b("Theorem 4.2", [&](int64_t s) { return bound(s, T); }),
                   over_b("what can be proved", [&](int64_t s) { return repaired(s, T); })};
    report_.plot(size);
  }

  /// The b with the smallest mean.
  int64_t best(std::map<Key, Runs>& runs, int64_t T, Numbers Runs::*part) const {
    return *std::min_element(o_.b.begin(), o_.b.end(), [&](int64_t left, int64_t right) {
      return summarise(runs[{T, left}].*part).mean < summarise(runs[{T, right}].*part).mean;
    });
  }

  void sweet_spot() {
    report_.heading("Where the best micro-batch size lies");
    std::vector<Row> rows;
    for (const int64_t T : o_.T)
      rows.push_back({exact(static_cast<double>(T)), exact(static_cast<double>(o_.b.back())),
                      exact(static_cast<double>(best(clipped_, T, &Runs::average))),
                      exact(static_cast<double>(best(clipped_, T, &Runs::last))),
                      exact(static_cast<double>(best(algorithm_, T, &Runs::average))),
                      exact(static_cast<double>(best(algorithm_, T, &Runs::last)))});
    report_.table("b with the smallest value",
                  {"T", "both bounds", "equation 2, average", "equation 2, last tenth",
                   "Algorithm 1, average", "Algorithm 1, last tenth"},
                  rows);
    report_.verdict(
        "Theorem 4.2's bias is smallest at a b between 1 and B, for a constant c", Verdict::fails,
        "It is proportional to 1 / (sqrt b epsilon - sqrt(epsilon (1 - epsilon))), which falls all "
        "the "
        "way to b = B. A minimum would need 1 + c to fall faster than about 1 / sqrt b.");
    measured_sweet_spot();
    report_.paragraph(
        "In the simulation two things pull in opposite directions, and only the first is in the "
        "bounds. Larger micro-batches average the noise before it is normalised, so that the mean "
        "of "
        "their directions points downhill more. Smaller ones are more in number, K = B / b, so "
        "that "
        "the noise of their directions averages out more: both proofs put |update|^2 <= 1 in the "
        "place of "
        "something that is near b / B where noise prevails. The first decides far from the "
        "optimum, the "
        "second near it.");
  }

  void measured_sweet_spot() {
    const int64_t T = longest();
    std::vector<Numbers> last;
    for (const int64_t b : o_.b) last.push_back(clipped_[{T, b}].last);
    const Judged judged = judge_sweet_spot(o_.b, last);
    report_.verdict(
        fmt::format(
            "Simulation: near the end of a run some b between {} and {} is best (equation 2)",
            o_.b.front(), o_.b.back()),
        judged.verdict, fmt::format("In the last tenth of {} steps {}", T, judged.why));
  }

  /// The exponents of T.
  void speed() {
    if (o_.T.size() < 2 || o_.seeds < 2) return;
    report_.heading("How fast");
    const int64_t T = longest(), before = o_.T[o_.T.size() - 2];
    const double ratio = std::log(static_cast<double>(T) / static_cast<double>(before));
    const auto exponent = [&](const Runs& early, const Runs& late) {
      Numbers slopes;
      for (size_t i = 0; i < late.average.size(); ++i)
        slopes.push_back(std::log(late.average[i] / early.average[i]) / ratio);
      return interval(slopes);
    };
    std::vector<Row> rows{{"SGD", "", exponent(sgd_[before], sgd_[T]), interval(sgd_[T].average)}};
    for (const int64_t b : o_.b)
      rows.push_back({"equation 2", exact(static_cast<double>(b)),
                      exponent(clipped_[{before, b}], clipped_[{T, b}]),
                      interval(clipped_[{T, b}].average)});
    report_.table(
        fmt::format("Average |g| falls like T to the power of (from T = {} to {})", before, T),
        {"method", "b", "exponent", "average |g|"}, rows);
    const int64_t b = best(clipped_, T, &Runs::average);
    const PairedTest test = paired_t_test(clipped_[{T, b}].average, sgd_[T].average);
    const double p = bonferroni(test.p, o_.b.size());
    const Verdict verdict = p > 0.05                   ? Verdict::unclear
                            : test.mean_difference < 0 ? Verdict::holds
                                                       : Verdict::fails;
    report_.verdict(
        fmt::format(
            "Simulation: clipping (equation 2) at its best b is ahead of SGD after {} steps", T),
        verdict,
        fmt::format(
            "b = {}: average |g| less that of SGD is {:.2g} +- {:.1g}, p = {:.1g}: {} times that "
            "of one test, as b was chosen among so many sizes (Bonferroni). The paper compares "
            "upper bounds, 1 / sqrt T and a bias against 1 / T^(1/4); on this loss both methods "
            "are faster than their bounds.",
            b, test.mean_difference, test.half_width, p, o_.b.size()));
  }

  /// How many measurements lie where beside a bound.
  struct Tally {
    std::map<std::string, int> counts;

    void add(const std::string& where) { ++counts[where]; }
    Verdict verdict() {
      if (counts["above"] > 0) return Verdict::fails;
      return counts["unclear"] > 0 || counts["below"] == 0 ? Verdict::unclear : Verdict::holds;
    }
    std::string text() {
      return fmt::format(
          "Of the measurements {} are below it, {} above, {} within the noise of it; "
          "for {} it says nothing.",
          counts["below"], counts["above"], counts["unclear"], counts["no bound"]);
    }
  };

  const TheoryOptions& o_;
  const Constants& k_;
  Report& report_;
  std::map<int64_t, Runs> sgd_;
  std::map<Key, Runs> clipped_, algorithm_;
};

}  // namespace

void study_theory(const TheoryOptions& options, const std::string& command,
                  const std::filesystem::path& folder) {
  Report report("theory", "Theorems 4.1 and 4.2, and a simulation", command, folder);
  TheoryStudy(options, report).run();
  report.save();
}

}  // namespace minnow::study
