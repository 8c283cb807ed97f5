#include "train/study/c_hat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/paths.h"
#include "tests/train/program.h"

namespace minnow::study {
namespace {

TEST(CHat, MeansAreTrimmed) {
  std::vector<double> norms(20);
  std::iota(norms.rbegin(), norms.rend(), 1.0);  // 20, 19, ... 1
  norms[0] = 1e6;
  norms[1] = 1e5;
  const NormMean trimmed = mean_norm(norms, 0.1);
  EXPECT_EQ(trimmed.mean, 9.5);  // of 1 .. 18
  EXPECT_EQ(mean_norm(norms, 0).mean, (171 + 1e6 + 1e5) / 20);
  const std::vector<double> three{1, 2, 6};
  EXPECT_EQ(mean_norm(three, 0.3).mean, 3);  // 0.9 of a value is none
  EXPECT_EQ(mean_norm(three, 0.34).mean, 1.5);
}

TEST(CHat, TrimmedMeansAndTheirErrorsAreThoseOfScipy) {
  const auto golden =
      nlohmann::json::parse(read_text_file(test::source_path("tests/golden/statistics.json")));
  ASSERT_EQ(golden["trimmed"].size(), 4);
  for (const auto& one : golden["trimmed"]) {
    const NormMean found = mean_norm(one["values"].get<std::vector<double>>(), one["share"]);
    EXPECT_NEAR(found.mean, one["mean"].get<double>(), 1e-14 * found.mean);
    EXPECT_NEAR(found.error, one["error"].get<double>(), 1e-13 * found.error);
  }
}

// 40 micro-batches of 5 from 20 examples tell as much as the 4 that would use each of them once.
TEST(CHat, ExamplesThatComeAgainWidenTheError) {
  EXPECT_EQ(uses(10, 2, 20), 1);
  EXPECT_EQ(uses(10, 2, 200), 1);
  EXPECT_EQ(uses(40, 5, 20), 10);
  const NormMean wide = with_uses({.mean = 3, .error = 0.5, .nonfinite = 1}, 4);
  EXPECT_EQ(wide.mean, 3);
  EXPECT_EQ(wide.error, 1);
  EXPECT_EQ(wide.nonfinite, 1);
}

TEST(CHat, WhatIsNotFiniteIsCounted) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> norms{nan, 2, INFINITY, 4}, none{nan};
  const NormMean found = mean_norm(norms, 0);
  EXPECT_EQ(found.mean, 3);
  EXPECT_EQ(found.nonfinite, 2);
  expect_error([&] { mean_norm(none, 0); }, {"none of 1"});
  expect_error([&] { mean_norm(norms, 1); }, {"[0, 1)"});
}

TEST(CHat, ARatioHasTheErrorsOfBoth) {
  const NormMean found = ratio({.mean = 6, .error = 0.6}, {.mean = 3, .error = 0.3});
  EXPECT_EQ(found.mean, 2);
  EXPECT_DOUBLE_EQ(found.error, 2 * std::sqrt(0.02));
}

TEST(CHat, MicroBatchesUseThePoolUp) {
  const std::vector<int64_t> pool{10, 11, 12, 13, 14, 15, 16};
  const auto drawn = micro_batches(pool, 3, 5, 1);
  ASSERT_EQ(drawn.size(), 15);
  for (size_t j = 0; j < 15; j += 3) {
    EXPECT_EQ(std::set<int64_t>(drawn.begin() + j, drawn.begin() + j + 3).size(), 3);
  }
  EXPECT_EQ(std::set<int64_t>(drawn.begin(), drawn.begin() + 6).size(), 6);  // before any again
  EXPECT_EQ(drawn, micro_batches(pool, 3, 5, 1));
  EXPECT_NE(drawn, micro_batches(pool, 3, 5, 2));
  auto all = micro_batches(pool, 7, 1, 1);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, pool);
  expect_error([&] { micro_batches(pool, 8, 1, 1); }, {"8 different examples, of 7"});
}

std::vector<std::string> with_draggers() {
  return test::tiny({"data.draggers=0.3", "data.dragger_kind=noise"});
}

CHatOptions few(std::vector<int64_t> sizes) {
  return {.points = 0, .micro_batches = std::move(sizes), .count = 10};
}

// Against micro-batches that are put together and run by hand.
TEST(CHatStudy, IsTheRatioOfNorms) {
  const CHatStudy study = study_c_hat(with_draggers(), few({1, 5}));
  ASSERT_EQ(study.moments.size(), 1);
  ASSERT_EQ(study.moments[0].sizes.size(), 2);
  Subject subject(study.config);
  subject.go_to({});
  const Chosen chosen = choose(subject.data(), {10, 50}, {10, 50}, subject.config().seed);
  EXPECT_EQ(study.benign, std::ssize(chosen.benign));
  EXPECT_EQ(study.draggers, std::ssize(chosen.draggers));
  for (const CHat& size : study.moments[0].sizes) {
    std::vector<double> norms;
    const auto drawn = micro_batches(chosen.draggers, size.micro_batch, 10, subject.config().seed);
    for (int64_t j = 0; j < 10; ++j) {
      const auto update = average_gradient(
          subject, Examples(drawn).subspan(j * size.micro_batch, size.micro_batch));
      double squares = 0;
      for (const Tensor& g : update) {
        for (const float x : g.to_vector<float>()) squares += double{x} * x;
      }
      norms.push_back(std::sqrt(squares));
    }
    EXPECT_NEAR(size.draggers.mean, mean_norm(norms, 0).mean, 1e-5 * size.draggers.mean);
    EXPECT_LT(size.benign.mean, size.untrimmed.mean);
    const double again = std::max(
        1.0, 10.0 * static_cast<double>(size.micro_batch) / static_cast<double>(study.draggers));
    EXPECT_EQ(size.dragger_uses, again);
    EXPECT_NEAR(size.draggers.error, mean_norm(norms, 0).error * std::sqrt(again),
                1e-4 * size.draggers.error);
  }
  EXPECT_GT(study.moments[0].sizes[1].dragger_uses, 1);
  const auto& [single, several] = std::tie(study.moments[0].sizes[0], study.moments[0].sizes[1]);
  EXPECT_EQ(single.one.mean, single.draggers.mean);
  EXPECT_NE(several.one.mean, several.draggers.mean);
}

TEST(CHatStudy, WrongInput) {
  expect_error(
      [] {
        study_c_hat(with_draggers(), few({1, 97}));
      },
      {"--micro-batches: 97 is larger than the data, 96 examples"});
  expect_error([] { study_c_hat(with_draggers(), few({90})); },
               {"draggers: 90 are needed", "96 training examples"});
  expect_error([] { study_c_hat(with_draggers(), few({0})); }, {"--micro-batches", "got 0"});
  expect_error([] { study_c_hat(with_draggers(), few({})); }, {"--micro-batches"});
  expect_error([] { study_c_hat(test::tiny(), few({1})); }, {"draggers: 10 are needed"});
}

}  // namespace
}  // namespace minnow::study
