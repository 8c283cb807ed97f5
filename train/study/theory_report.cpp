#include "train/study/theory_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "train/study/statistics.h"
#include "train/study/study_folder.h"
#include "train/study/theory_text.h"

namespace minnow::study {
namespace {

using Numbers = std::vector<double>;

/// The runs of one kind, one for each seed.
struct Runs {
  Numbers average, last;
  Numbers stretches;  ///< means over the runs

  /// Of the mean over the runs: an upper estimate of min_t E|g_t|.
  double lowest() const { return *std::min_element(stretches.begin(), stretches.end()); }
};

Runs repeat(const Problem& problem, Method method, int64_t b, int64_t T, int64_t seeds) {
  Runs runs;
  for (int64_t seed = 0; seed < seeds; ++seed) {
    const Course course = simulate(problem, method, b, T, static_cast<uint64_t>(seed));
    runs.average.push_back(course.average);
    runs.last.push_back(course.last);
    runs.stretches.resize(course.stretches.size());
    for (size_t i = 0; i < course.stretches.size(); ++i)
      runs.stretches[i] += course.stretches[i] / static_cast<double>(seeds);
  }
  return runs;
}

/// Half an interval; 0 where there is none.
double margin(const Summary& summary) {
  return summary.count < 2 ? 0 : summary.half_width;
}

std::string short_text(double value) {
  return std::isinf(value) ? "none" : fmt::format("{:.4g}", value);
}

std::string interval(const Numbers& values) {
  const Summary summary = summarise(values);
  return summary.count < 2 ? short_text(summary.mean)
                           : fmt::format("{:.3g} +- {:.1g}", summary.mean, summary.half_width);
}

/// Where a measurement lies beside a bound; "above" is more than its interval.
const char* beside(const Numbers& measured, double bound) {
  const Summary summary = summarise(measured);
  if (std::isinf(bound)) return "no bound";
  if (summary.mean - margin(summary) > bound) return "above";
  return summary.mean + margin(summary) <= bound ? "below" : "unclear";
}

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
    c_hat();
    without_assumptions();
    first_counterexample();
    second_counterexample();
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
                  {"T", "bound", "without draggers (Table 1)", "C, proof as printed",
                   "C, random number of draggers"},
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
    const int64_t T = longest(), at = best(clipped_, T, &Runs::last);
    const std::string claim = fmt::format(
        "Simulation: near the end of a run some b between {} and {} is best (equation 2)",
        o_.b.front(), o_.b.back());
    if (at == o_.b.front() || at == o_.b.back() || o_.seeds < 2) {
      report_.verdict(claim, o_.seeds < 2 ? Verdict::unclear : Verdict::fails,
                      fmt::format("The last tenth of {} steps is best at b = {}.", T, at));
      return;
    }
    const auto against = [&](int64_t b) {
      return paired_t_test(clipped_[{T, at}].last, clipped_[{T, b}].last);
    };
    const PairedTest low = against(o_.b.front()), high = against(o_.b.back());
    report_.verdict(
        claim, std::max(low.p, high.p) < 0.05 ? Verdict::holds : Verdict::unclear,
        fmt::format("b = {} is best in the last tenth of {} steps; paired t-tests against b = {}: "
                    "difference {:.2g}, p = {:.1g}; against b = {}: {:.2g}, p = {:.1g}.",
                    at, T, o_.b.front(), low.mean_difference, low.p, o_.b.back(),
                    high.mean_difference, high.p));
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
    const Verdict verdict = test.p > 0.05              ? Verdict::unclear
                            : test.mean_difference < 0 ? Verdict::holds
                                                       : Verdict::fails;
    report_.verdict(
        fmt::format(
            "Simulation: clipping (equation 2) at its best b is ahead of SGD after {} steps", T),
        verdict,
        fmt::format(
            "b = {}: average |g| less that of SGD is {:.2g} +- {:.1g}, p = {:.1g}. The paper "
            "compares upper bounds, 1 / sqrt T and a bias against 1 / T^(1/4); on this loss "
            "both methods are faster than their bounds.",
            b, test.mean_difference, test.half_width, test.p));
  }

  void c_hat() {
    report_.heading("c-hat is the inverse of c");
    report_.paragraph(
        "Assumption 4.4 has c |g| <= |mu|: c is dragger over benign. Section 5.2 measures c-hat, "
        "benign "
        "over dragger. So Table 3, where c-hat falls from 6.18 to 4.42, says that c rises with b, "
        "from "
        "0.16 to 0.23, and that draggers are smaller than benign gradients. With a rising c the "
        "bias "
        "falls still faster. The last columns take epsilon = 0.6, which the theorem needs to "
        "exceed 0.5 for "
        "b = 1.");
    const double sizes[] = {1, 4, 512}, measured[] = {6.18, 5.74, 4.42};
    std::vector<Row> rows;
    for (int i = 0; i < 3; ++i) {
      Constants k = k_;
      k.epsilon = 0.6;
      k.sigma = 1;
      const auto bias = [&](double c) {
        k.c = c;
        return short_text(clipped_bias(k, sizes[i]));
      };
      rows.push_back({exact(sizes[i]), exact(measured[i]), short_text(1 / measured[i]),
                      bias(1 / measured[i]), bias(measured[i])});
    }
    report_.table("Theorem 4.2's bias with the paper's Table 3, in units of sigma",
                  {"b", "c-hat (Table 3)", "1 / c-hat", "bias, c = 1 / c-hat", "bias, c = c-hat"},
                  rows);
    report_.verdict(
        "The fall of c-hat with b explains a best b between 1 and B", Verdict::fails,
        "c-hat is 1 / c by its definition, so that the measured trend adds to the fall of "
        "the bias. Read as c itself, it is too small by far: the bias still falls from b = 4 "
        "to b = 512 (the paper's remark says so).");
  }

  void without_assumptions() {
    report_.heading("Without one of the assumptions");
    const int64_t T = longest(), b = covered();
    const auto with = [&](auto&& change) {
      Problem changed = problem();
      change(changed);
      return changed;
    };
    const std::pair<const char*, Problem> cases[] = {
        {"all hold", problem()},
        {"all hold, noise of two points", with([](Problem& p) { p.noise = Noise::two_point; })},
        {"not orthogonal: cosine -0.5", with([](Problem& p) { p.cosine = -0.5; })},
        {"unbounded ratio: |mu| = 50", with([](Problem& p) { p.dragger_norm = 50; })},
        {"noise not symmetric", with([](Problem& p) { p.noise = Noise::skewed; })},
        {"loss not smooth: L |w|", with([](Problem& p) { p.loss = Loss::norm; })}};
    std::vector<Row> rows;
    for (const auto& [name, changed] : cases) {
      const Runs plain = repeat(changed, Method::sgd, k_.B, T, o_.seeds);
      const Runs small = repeat(changed, Method::normalised, o_.b.front(), T, o_.seeds);
      const Runs large = repeat(changed, Method::normalised, b, T, o_.seeds);
      rows.push_back({name, interval(plain.average), interval(plain.last),
                      beside(plain.average, sgd_bound(k_, static_cast<double>(T))),
                      interval(small.average), interval(small.last), interval(large.average),
                      interval(large.last), beside(large.average, bound(b, T))});
    }
    report_.table(
        fmt::format("T = {}; bounds: {} (SGD), {} (b = {})", T,
                    short_text(sgd_bound(k_, static_cast<double>(T))), short_text(bound(b, T)), b),
        {"", "SGD, average", "last tenth", "to bound", fmt::format("b = {}, average", o_.b.front()),
         "last tenth", fmt::format("b = {}, average", b), "last tenth", "to bound"},
        rows);
    report_.paragraph(
        "Noise of two points and the noise that is not symmetric lie along the gradient. The "
        "skewed "
        "one has mean 0 but leads uphill nine times of ten: after normalising, the majority "
        "decides, "
        "and the gradient stops where the noise outweighs it. Where a bound is loose, a broken "
        "assumption need not show as a value above it; see the last tenth.");
  }

  void first_counterexample() {
    Problem p;
    p.constants = {.epsilon = 0.3, .sigma = 2, .c = 40, .C = 40, .L = 1, .gap = 10, .B = 64};
    const int64_t T = 1000;
    const Runs runs = repeat(p, Method::sgd, p.constants.B, T, o_.seeds);
    const double limit = sgd_bound(p.constants, static_cast<double>(T));
    const double most = sgd_dragger_limit(p.constants, static_cast<double>(T));
    report_.verdict(
        "Theorem 4.1 as stated, for every C",
        runs.lowest() > limit ? Verdict::fails : Verdict::unclear,
        fmt::format(
            "Quadratic loss, L = 1, epsilon = 0.3, sigma = 2, B = 64, gap = 10, draggers 40 times "
            "as "
            "long as the gradient (c = C = 40), T = {}: of 100 stretches of the run the smallest "
            "mean "
            "|g| is {:.3g}; the bound is {:.3g}. The proof needs C <= {:.3g}, which the theorem "
            "does not state.",
            T, runs.lowest(), limit, most));
  }

  void second_counterexample() {
    Problem p;
    p.constants = {.epsilon = 0.8, .sigma = 4, .c = 9, .C = 9, .L = 1, .gap = 3.92, .B = 1};
    p.curvature = {1, 0};
    p.noise = Noise::two_point;
    const int64_t T = 4000000;
    const Runs runs = repeat(p, Method::normalised, 1, T, o_.seeds);
    const double limit = clipped_bound(p.constants, 1, static_cast<double>(T));
    report_.verdict(
        "Theorem 4.2 as stated, for b = 1 and epsilon > 1/2",
        runs.lowest() > limit ? Verdict::fails : Verdict::unclear,
        fmt::format("Loss x^2 / 2 in the plane, start at x = 2.8; a benign gradient is (x +- 4, "
                    "0), a dragger "
                    "(0, 9 |x|); epsilon = 0.8, B = b = 1, T = {}. Every assumption holds. While "
                    "|x| < 4 a benign "
                    "step goes left or right with equal chance, so E x stays where it is (up to "
                    "the rare visits to "
                    "|x| = 4) for every T: the sum of all steps has the standard deviation sqrt "
                    "0.2. Measured: of 100 "
                    "stretches the smallest mean |g| is {:.3g}, the average {}. The bound is "
                    "{:.3g}, and falls to "
                    "sigma / 4 = 1 as T grows. The bound proved in the notes is {:.3g}.",
                    T, runs.lowest(), interval(runs.average), limit,
                    repaired_bound(p.constants, 1, static_cast<double>(T))));
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
