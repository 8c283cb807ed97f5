#include "train/study/theory_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace minnow::study {

double Runs::lowest() const {
  return *std::min_element(stretches.begin(), stretches.end());
}

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

const char* beside(const Numbers& measured, double bound) {
  const Summary summary = summarise(measured);
  if (std::isinf(bound)) return "no bound";
  if (summary.mean - margin(summary) > bound) return "above";
  return summary.mean + margin(summary) <= bound ? "below" : "unclear";
}

Judged judge_sweet_spot(const std::vector<int64_t>& sizes, const std::vector<Numbers>& values) {
  const auto by_mean = [](const Numbers& a, const Numbers& b) {
    return summarise(a).mean < summarise(b).mean;
  };
  const auto best = std::min_element(values.begin(), values.end(), by_mean) - values.begin();
  const auto last = std::ssize(sizes) - 1;
  const bool between = best != 0 && best != last;
  std::string why = fmt::format("b = {} is best", sizes[best]);
  if (last < 2) return {Verdict::unclear, why + "; there is no size between."};
  if (values[best].size() < 2) return {Verdict::unclear, why + "; one seed shows no difference."};
  bool significant = true;
  for (int64_t other = 0; other <= last; ++other) {
    const bool is_end = other == 0 || other == last;
    if (is_end != between) continue;
    const PairedTest test = paired_t_test(values[best], values[other]);
    const double p = bonferroni(test.p, sizes.size());
    significant = significant && p < 0.05;
    why += fmt::format("; against b = {}: difference {:.2g}, p = {:.1g}", sizes[other],
                       test.mean_difference, p);
  }
  why += fmt::format(
      ". Paired t-tests by seed; p is multiplied by {}, the number of sizes, as the best was "
      "chosen among them (Bonferroni).",
      sizes.size());
  if (!between) why += " An end of the list must beat every size between to refute the claim.";
  return {!significant ? Verdict::unclear : between ? Verdict::holds : Verdict::fails, why};
}

namespace {

void first_counterexample(Report& report, int64_t seeds) {
  Problem p;
  p.constants = {.epsilon = 0.3, .sigma = 2, .c = 40, .C = 40, .L = 1, .gap = 10, .B = 64};
  const int64_t T = 1000;
  const Runs runs = repeat(p, Method::sgd, p.constants.B, T, seeds);
  const double limit = sgd_bound(p.constants, static_cast<double>(T));
  const double most = sgd_dragger_limit(p.constants, static_cast<double>(T));
  report.verdict(
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

void second_counterexample(Report& report, int64_t seeds) {
  Problem p;
  p.constants = {.epsilon = 0.8, .sigma = 2, .c = 9, .C = 9, .L = 1, .gap = 0.98, .B = 4};
  p.curvature = {1, 0};
  p.noise = Noise::two_point;
  const int64_t T = 1000000;
  const Runs runs = repeat(p, Method::normalised, 1, T, seeds);
  const double limit = clipped_bound(p.constants, 1, static_cast<double>(T));
  report.verdict(
      "Theorem 4.2 as stated, for b = 1 and epsilon > 1/2",
      runs.lowest() > limit ? Verdict::fails : Verdict::unclear,
      fmt::format(
          "Loss x^2 / 2 in the plane, start at |x| = 1.4; a benign gradient is (x +- 2, 0), a "
          "dragger "
          "(0, 9 |x|); epsilon = 0.8, B = 4, b = 1, T = {}, equation 2. Every assumption holds. "
          "While |x| < 2 a benign step goes left or right with equal chance, so E x stays where it "
          "is, for every T, but for the rare visits to |x| = 2: all steps together have the "
          "standard "
          "deviation sqrt(0.2 / 4) = 0.22. Measured: of 100 stretches the smallest mean |g| is "
          "{:.3g}, "
          "the average {}. The bound is {:.3g}, and falls to sigma / 4 = 0.5 as T grows. The bound "
          "that the notes prove is {:.3g}.",
          T, runs.lowest(), interval(runs.average), limit,
          repaired_bound(p.constants, 1, static_cast<double>(T))));
}

}  // namespace

void report_c_hat(Report& report, const Constants& constants) {
  report.heading("c-hat is the inverse of c");
  report.paragraph(
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
    Constants k = constants;
    k.epsilon = 0.6;
    k.sigma = 1;
    const auto bias = [&](double c) {
      k.c = c;
      return short_text(clipped_bias(k, sizes[i]));
    };
    rows.push_back({exact(sizes[i]), exact(measured[i]), short_text(1 / measured[i]),
                    bias(1 / measured[i]), bias(measured[i])});
  }
  report.table("Theorem 4.2's bias with the paper's Table 3, in units of sigma",
               {"b", "c-hat (Table 3)", "1 / c-hat", "bias, c = 1 / c-hat", "bias, c = c-hat"},
               rows);
  report.verdict(
      "The fall of c-hat with b explains a best b between 1 and B", Verdict::fails,
      "c-hat is 1 / c by its definition, so that the measured trend adds to the fall of "
      "the bias. Read as c itself, it is too small by far: the bias still falls from b = 4 "
      "to b = 512 (the paper's remark says so).");
}

void report_without_assumptions(Report& report, const TheoryOptions& options, int64_t b) {
  report.heading("Without one of the assumptions");
  const Constants& k = options.constants;
  const int64_t T = options.T.back();
  const double plain_limit = sgd_bound(k, static_cast<double>(T)),
               limit = clipped_bound(k, static_cast<double>(b), static_cast<double>(T));
  const Problem usual{.constants = k, .loss = options.loss};
  const auto with = [&](auto&& change) {
    Problem changed = usual;
    change(changed);
    return changed;
  };
  const std::pair<const char*, Problem> cases[] = {
      {"all hold", usual},
      {"all hold, noise of two points", with([](Problem& p) { p.noise = Noise::two_point; })},
      {"not orthogonal: cosine -0.5", with([](Problem& p) { p.cosine = -0.5; })},
      {"unbounded ratio: |mu| = 50", with([](Problem& p) { p.dragger_norm = 50; })},
      {"noise not symmetric", with([](Problem& p) { p.noise = Noise::skewed; })},
      {"loss not smooth: L |w|", with([](Problem& p) { p.loss = Loss::norm; })}};
  std::vector<Row> rows;
  for (const auto& [name, changed] : cases) {
    const Runs plain = repeat(changed, Method::sgd, k.B, T, options.seeds);
    const Runs small = repeat(changed, Method::normalised, options.b.front(), T, options.seeds);
    const Runs large = repeat(changed, Method::normalised, b, T, options.seeds);
    rows.push_back({name, interval(plain.average), interval(plain.last),
                    beside(plain.average, plain_limit), interval(small.average),
                    interval(small.last), interval(large.average), interval(large.last),
                    beside(large.average, limit)});
  }
  report.table(fmt::format("T = {}; bounds: {} (SGD), {} (b = {})", T, short_text(plain_limit),
                           short_text(limit), b),
               {"", "SGD, average", "last tenth", "to bound",
                fmt::format("b = {}, average", options.b.front()), "last tenth",
                fmt::format("b = {}, average", b), "last tenth", "to bound"},
               rows);
  report.paragraph(
      "Noise of two points and the noise that is not symmetric lie along the gradient. The "
      "skewed "
      "one has mean 0 but leads uphill nine times of ten: after normalising, the majority "
      "decides, "
      "and the gradient stops where the noise outweighs it. Where a bound is loose, a broken "
      "assumption need not show as a value above it; see the last tenth.");
}

void report_counterexamples(Report& report, int64_t seeds) {
  first_counterexample(report, seeds);
  second_counterexample(report, seeds);
}

}  // namespace minnow::study
