#include "train/study/cosine.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "kernels/random.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"

namespace minnow::study {
namespace {

using test::tiny;

std::vector<double> products_of(const std::vector<std::vector<double>>& rows) {
  std::vector<double> products;
  for (const auto& a : rows) {
    for (const auto& b : rows) {
      double sum = 0;
      for (size_t e = 0; e < a.size(); ++e) sum += a[e] * b[e];
      products.push_back(sum);
    }
  }
  return products;
}

// Draggers along the first axis, benign gradients along the second, noise along the others.
TEST(Cosines, OfOrthogonalAndOfEqualGradients) {
  const Cosines found = cosines("all",
                                products_of({{4, 0, 0, 0},
                                             {4, 0, 0, 0},
                                             {5, 0, 0, 0},
                                             {0, 2, 0, 0},
                                             {0, 2, 0, 0},
                                             {0, 2, 0, 0},
                                             {0, 1, 0, 0}}),
                                3);
  EXPECT_EQ(found.layer, "all");
  EXPECT_EQ(found.dragger_benign, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(found.benign_benign, (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(found.dragger_average, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(found.benign_average, (std::vector<double>{1, 1, 1}));
  EXPECT_EQ(found.all_dragger_benign, 0);
  EXPECT_EQ(found.all_benign_benign, 1);
  EXPECT_EQ(found.all_dragger_dragger, 1);
  EXPECT_EQ(found.expected.value, 0);
  EXPECT_EQ(found.expected.half_width, 0);
  // Without the k-th dragger the mean norm is 4.5, 4.5 or 4: by the jackknife its error is 1/3.
  EXPECT_DOUBLE_EQ(found.norm_ratio.value, 13.0 / 3 / 2);
  EXPECT_NEAR(found.norm_ratio.half_width, student_quantile(0.95, 2) / 3 / 2, 1e-14);
}

// mu = (3, 4, 0, ...) and g = (1, 0, 0, ...), to each of which every example adds noise along an
// axis of its own: the expected gradients' cosine is 3/5 however large the noise.
TEST(Cosines, NoiseDoesNotHideExpectedGradients) {
  std::vector<std::vector<double>> rows(7, std::vector<double>(8));
  for (size_t i = 0; i < 7; ++i) {
    rows[i][0] = i < 3 ? 3 : 1;
    rows[i][1] = i < 3 ? 4 : 0;
    if (i < 6) rows[i][2 + i] = i < 3 ? 10 : 7;
  }
  const Cosines found = cosines("all", products_of(rows), 3);
  EXPECT_DOUBLE_EQ(found.expected.value, 0.6);
  EXPECT_NEAR(found.expected.half_width, 0, 1e-15);
  EXPECT_DOUBLE_EQ(found.norm_ratio.value, std::sqrt(125));
  EXPECT_LT(found.all_dragger_benign, 0.05);
  EXPECT_NEAR(found.benign_benign[0], 1.0 / 50, 1e-15);
  EXPECT_NEAR(found.dragger_average[1], 3 / std::sqrt(125), 1e-15);
}

std::vector<double> normal_vector(RandomSequence& random, std::vector<double> mean, double noise) {
  for (double& x : mean) x += noise * random.normal();
  return mean;
}

/// The cosine from sums of whole vectors: |sum v|^2 - sum |v|^2 is the sum over pairs.
double cosine_of_sums(const std::vector<std::vector<double>>& rows, int64_t n, int64_t without) {
  const size_t axes = rows[0].size();
  std::array<std::vector<double>, 2> sums{std::vector<double>(axes), std::vector<double>(axes)};
  std::array<double, 2> squares{}, count{};
  for (int64_t i = 0; i < 2 * n; ++i) {
    if (i == without) continue;
    for (size_t e = 0; e < axes; ++e) {
      sums[i / n][e] += rows[i][e];
      squares[i / n] += rows[i][e] * rows[i][e];
    }
    ++count[i / n];
  }
  double across = 0;
  std::array<double, 2> within{};
  for (size_t e = 0; e < axes; ++e) {
    across += sums[0][e] * sums[1][e];
    for (size_t k = 0; k < 2; ++k) within[k] += sums[k][e] * sums[k][e];
  }
  double product = 1;
  for (size_t k = 0; k < 2; ++k) product *= (within[k] - squares[k]) / (count[k] * (count[k] - 1));
  return across / (count[0] * count[1]) / std::sqrt(product);
}

// The interval leaves out each of the examples in turn, and covers the true value, 0.6, about as
// often as it says: at 95 %, fewer than 178 of 200 times has a chance of 1 in 10000.
TEST(Cosines, IntervalOfExpectedGradients) {
  constexpr int64_t n = 30;
  RandomSequence random({.seed = 1});
  int covered = 0;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::vector<double>> rows;
    for (int64_t i = 0; i <= 2 * n; ++i) {
      rows.push_back(i < n ? normal_vector(random, {3, 4, 0, 0, 0}, 2)
                           : normal_vector(random, {1, 0, 0, 0, 0}, 0.5));
    }
    const Estimate found = cosines("all", products_of(rows), n).expected;
    covered += std::abs(found.value - 0.6) <= found.half_width ? 1 : 0;
    if (trial > 0) continue;
    EXPECT_NEAR(found.value, cosine_of_sums(rows, n, -1), 1e-12);
    std::vector<std::vector<double>> without(2);
    for (int64_t i = 0; i < 2 * n; ++i) without[i / n].push_back(cosine_of_sums(rows, n, i));
    EXPECT_NEAR(found.half_width, jackknife(found.value, without).half_width, 1e-12);
  }
  EXPECT_GE(covered, 178);
}

TEST(Cosines, NoneWhereASquaredNormIsLostInNoise) {
  std::vector<std::vector<double>> rows{{1, 0}, {1, 0}, {1, 0}, {0, 2}, {0, -1}, {0, 1}, {0, 1}};
  // One of -1/3.
  const Cosines lost = cosines("all", products_of(rows), 3);
  EXPECT_TRUE(std::isnan(lost.expected.value));
  EXPECT_TRUE(std::isnan(lost.norm_ratio.value));
  rows[4] = {0, 0.1};  // a squared norm of 0.77, with an interval that reaches 0
  const Cosines unclear = cosines("all", products_of(rows), 3);
  EXPECT_TRUE(std::isnan(unclear.expected.value));
}

TEST(Cosines, ZeroGradientsHaveNone) {
  const Cosines found =
      cosines("all", products_of({{0, 0}, {1, 0}, {1, 0}, {0, 2}, {0, -1}, {0, -1}, {0, 1}}), 3);
  EXPECT_EQ(found.dragger_benign, (std::vector<double>{0, 0}));
  EXPECT_EQ(found.dragger_average, (std::vector<double>{0, 0}));
  EXPECT_EQ(found.benign_average, (std::vector<double>{1, -1, -1}));
  EXPECT_DOUBLE_EQ(found.all_benign_benign, -1.0 / 3);
}

// One that is not finite has no part in what the others show.
TEST(Cosines, GradientsThatAreNotFiniteAreLeftOut) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const Cosines found = cosines(
      "all",
      products_of({{1, 0}, {1, 0}, {1, 0}, {nan, 0}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0, 1}}), 4);
  EXPECT_EQ(found.dragger_benign.size(), 3);
  EXPECT_DOUBLE_EQ(found.expected.value, std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(found.norm_ratio.value, std::sqrt(0.5));
}

TEST(Cosines, OrthogonalOnlyBesideABenignDirection) {
  const auto judge = [](double expected, double half_width, std::vector<double> benign) {
    return orthogonal({.layer = "",
                       .dragger_average = {-0.02, 0.02},
                       .benign_average = std::move(benign),
                       .expected = {.value = expected, .half_width = half_width}},
                      0.1);
  };
  EXPECT_EQ(judge(-0.05, 0.04, {0.5, 0.51}), 1);
  EXPECT_EQ(judge(-0.2, 0.05, {0.5, 0.51}), -1);
  EXPECT_EQ(judge(-0.05, 0.06, {0.5, 0.51}), 0);
  EXPECT_EQ(judge(0.15, 0.06, {0.5, 0.51}), 0);
  EXPECT_EQ(judge(NAN, NAN, {0.5, 0.51}), 0);
  EXPECT_EQ(judge(0, 0.01, {0.01, 0.02}), 0);  // benign ones are no nearer
  EXPECT_EQ(judge(0, 0.01, {}), 0);
}

TEST(Cosines, WrongInput) {
  expect_error([] { cosines("all", {1}, 2); }, {"at least 3", "got 2"});
  expect_error([] { cosines("all", {1, 2}, 3); }, {"2 products of 7 gradients"});
}

CosineOptions few(int64_t points) {
  return {.points = points, .examples = 4, .reference = 20, .block = 0};
}

std::vector<std::string> with_draggers(std::vector<std::string> more) {
  more.emplace_back("data.draggers=0.2");
  return tiny(std::move(more));
}

// The start of training alone, then every checkpoint of a run: the same numbers at the start, in
// blocks of any size.
TEST(CosineStudy, TrainsAndLooksAtEveryCheckpoint) {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  const CosineStudy trained =
      study_cosines(with_draggers({"train.steps=6", "run.dir=" + run}), few(3));
  std::vector<int64_t> steps;
  for (const CosineMoment& moment : trained.moments) steps.push_back(moment.step);
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 2, 4, 6}));
  EXPECT_EQ(trained.reference, 20);
  EXPECT_EQ(trained.block, 32);
  for (const CosineMoment& moment : trained.moments) {
    ASSERT_EQ(moment.parts.size(), 3);  // whole, layers.0, layers.1
    EXPECT_EQ(moment.parts[0].layer, "whole gradient");
    EXPECT_EQ(moment.parts[2].layer, "layers.1");
    EXPECT_EQ(moment.parts[0].dragger_benign.size(), 4);
  }
  EXPECT_NE(trained.moments[0].parts[0].dragger_benign, trained.moments[3].parts[0].dragger_benign);

  CosineOptions options = few(2);
  options.block = 3;
  const CosineStudy again = study_cosines({run}, options);
  ASSERT_EQ(again.moments.size(), 3);
  EXPECT_EQ(again.moments[1].step, 2);
  EXPECT_EQ(again.moments[2].step, 6);
  for (const auto& [a, b] : {std::pair{0, 0}, {1, 1}, {3, 2}}) {
    const auto& x = trained.moments[a].parts[0].dragger_benign;
    const auto& y = again.moments[b].parts[0].dragger_benign;
    ASSERT_EQ(x.size(), y.size());
    // Float32 gradients of a few sums of at most 192 terms each, summed in another order.
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 200 * 0x1p-23);
  }
}

TEST(CosineStudy, WrongInput) {
  const TemporaryFolder folder;
  const auto start = few(0);
  expect_error([&] { study_cosines(tiny(), start); },
               {"draggers: 4 are needed", "96 training examples have 0", "data.draggers"});
  expect_error([&] { study_cosines(tiny({"data.draggers=0.99"}), start); },
               {"benign examples: 5 are needed"});
  expect_error([&] { study_cosines({folder.path().string()}, start); },
               {folder.path().string(), "holds no checkpoint"});
  expect_error([&] { study_cosines(with_draggers({"run.resume=nowhere"}), start); }, {"nowhere"});
  expect_error([&] { study_cosines(with_draggers({}), few(-1)); }, {"--points", "-1"});
  expect_error([&] { study_cosines(with_draggers({}), {.examples = 2}); }, {"--examples"});
  expect_error([&] { study_cosines(with_draggers({}), {.block = 1}); }, {"--block"});
  // The data are looked at before anything is trained.
  const std::string run = (folder / "run").string();
  expect_error([&] { study_cosines(tiny({"run.dir=" + run}), few(1)); }, {"draggers"});
  EXPECT_FALSE(std::filesystem::exists(run));
}

}  // namespace
}  // namespace minnow::study
