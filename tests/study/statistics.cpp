#include "train/study/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/paths.h"

namespace minnow::study {
namespace {

using Numbers = std::vector<double>;
using Json = nlohmann::json;

const Json& golden() {
  static const Json file =
      Json::parse(read_text_file(test::source_path("tests/golden/statistics.json")));
  return file;
}

/// Both sides round, mostly in lgamma, whose result near 100 is off by some 1e-14.
void expect_near(double actual, const Json& expected, double scale = 1e-12) {
  EXPECT_NEAR(actual, expected.get<double>(), scale * std::abs(expected.get<double>()));
}

TEST(StudyStatistics, SummariesAreThoseOfScipy) {
  for (const Json& sample : golden()["samples"]) {
    const Summary summary = summarise(sample["values"].get<Numbers>());
    EXPECT_EQ(summary.count, sample["values"].size());
    expect_near(summary.mean, sample["mean"]);
    expect_near(summary.sd, sample["sd"]);
    expect_near(summary.half_width, sample["half_width"]);
  }
}

TEST(StudyStatistics, PairedTestsAreThoseOfScipy) {
  for (const Json& pair : golden()["pairs"]) {
    const PairedTest test = paired_t_test(pair["a"].get<Numbers>(), pair["b"].get<Numbers>());
    expect_near(test.mean_difference, pair["difference"]);
    expect_near(test.half_width, pair["half_width"]);
    expect_near(test.t, pair["t"]);
    expect_near(test.p, pair["p"]);
  }
}

TEST(StudyStatistics, DistributionsAreThoseOfScipy) {
  for (const Json& one : golden()["beta"])
    expect_near(incomplete_beta(one["a"], one["b"], one["x"]), one["value"]);
  for (const Json& one : golden()["student"])
    expect_near(student_two_sided(one["t"], one["degrees"]), one["two_sided"]);
  for (const Json& one : golden()["quantiles"])
    expect_near(student_quantile(one["confidence"], one["degrees"]), one["quantile"]);
}

TEST(StudyStatistics, ClosedForms) {
  EXPECT_DOUBLE_EQ(incomplete_beta(1, 1, 0.3), 0.3);
  EXPECT_DOUBLE_EQ(incomplete_beta(2, 1, 0.3), 0.09);
  EXPECT_EQ(incomplete_beta(3, 4, 0), 0);
  EXPECT_EQ(incomplete_beta(3, 4, 1), 1);
  EXPECT_NEAR(student_two_sided(1, 1), 0.5, 1e-15);  // Cauchy: 1 - 2 atan(1) / pi
  EXPECT_NEAR(student_quantile(0.5, 1), 1, 1e-14);
}

TEST(StudyStatistics, OneValueHasNoInterval) {
  const Summary summary = summarise(Numbers{2.5});
  EXPECT_EQ(summary.mean, 2.5);
  EXPECT_TRUE(std::isnan(summary.sd));
  EXPECT_TRUE(std::isnan(summary.half_width));
  EXPECT_EQ(summary.text(), "2.5 (one run: no interval)");
  EXPECT_EQ(summarise(Numbers{1, 3}).text(), "2 +- 13 (sd 1.4, n = 2)");
}

TEST(StudyStatistics, EqualDifferences) {
  const Numbers zeros{0, 0, 0}, ones{1, 1, 1};
  EXPECT_EQ(paired_t_test(ones, ones).p, 1);
  EXPECT_EQ(paired_t_test(ones, zeros).p, 0);
}

// Of a mean the jackknife's interval is that of Student; of a difference of two means the variances
// add up.
TEST(StudyStatistics, JackknifeOfMeans) {
  const Numbers a{1, 2, 4, 9}, b{3, 5, 5, 8};
  const auto without = [](const Numbers& values, double sign, double other) {
    Numbers means;
    for (const double value : values)
      means.push_back(sign * (summarise(values).mean * 4 - value) / 3 + other);
    return means;
  };
  const Summary of_a = summarise(a), of_b = summarise(b);
  const std::vector<Numbers> one{without(a, 1, 0)};
  const Estimate mean = jackknife(of_a.mean, one);
  EXPECT_EQ(mean.value, 4);
  EXPECT_NEAR(mean.half_width, of_a.half_width, 1e-14);
  const std::vector<Numbers> two{without(a, 1, -of_b.mean), without(b, -1, of_a.mean)};
  EXPECT_NEAR(jackknife(0, two).half_width, std::hypot(of_a.half_width, of_b.half_width), 1e-14);
}

TEST(StudyStatistics, SeveralTests) {
  EXPECT_EQ(bonferroni(0.01, 3), 0.03);
  EXPECT_EQ(bonferroni(0.4, 3), 1);
}

TEST(StudyStatistics, WrongInput) {
  expect_error([] { jackknife(1, std::vector<Numbers>{{1, 2}, {1}}); }, {"at least two", "got 1"});
  expect_error([] { summarise({}); }, {"at least one value"});
  expect_error([] { summarise(Numbers{1, 2}, 1.0); }, {"(0, 1)", "1"});
  expect_error([] { paired_t_test(Numbers{1}, Numbers{2}); }, {"at least 2", "1 and 1"});
  expect_error([] { paired_t_test(Numbers{1, 2}, Numbers{2}); }, {"2 and 1"});
  expect_error([] { incomplete_beta(0, 1, 0.5); }, {"positive"});
}

}  // namespace
}  // namespace minnow::study
