#include "train/study/cosine.h"

#include <gtest/gtest.h>

#include <cmath>

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
  const Cosines found = cosines(
      "all", products_of({{3, 0, 0, 0}, {5, 0, 0, 0}, {0, 2, 0, 0}, {0, 7, 0, 0}, {0, 1, 0, 0}}),
      2);
  EXPECT_EQ(found.layer, "all");
  EXPECT_EQ(found.dragger_benign, (std::vector<double>{0, 0}));
  EXPECT_EQ(found.benign_benign, (std::vector<double>{1, 1}));
  EXPECT_EQ(found.dragger_average, (std::vector<double>{0, 0}));
  EXPECT_EQ(found.benign_average, (std::vector<double>{1, 1}));
  EXPECT_EQ(found.all_dragger_benign, 0);
  EXPECT_EQ(found.all_benign_benign, 1);
  EXPECT_EQ(found.all_dragger_dragger, 1);
  EXPECT_EQ(found.expected, 0);
  EXPECT_DOUBLE_EQ(found.norm_ratio, 4 / std::sqrt(14));
}

// mu = (3, 4, 0, ...) and g = (1, 0, 0, ...), to each of which every example adds noise along an
// axis of its own: the expected gradients' cosine is 3/5 however large the noise.
TEST(Cosines, ExpectedGradientsAreFreeOfNoise) {
  const Cosines found = cosines("all",
                                products_of({{3, 4, 10, 0, 0, 0},
                                             {3, 4, 0, 10, 0, 0},
                                             {1, 0, 0, 0, 7, 0},
                                             {1, 0, 0, 0, 0, 7},
                                             {1, 0, 0, 0, 0, 0}}),
                                2);
  EXPECT_DOUBLE_EQ(found.expected, 0.6);
  EXPECT_DOUBLE_EQ(found.norm_ratio, std::sqrt(125));
  EXPECT_LT(found.all_dragger_benign, 0.05);
  EXPECT_NEAR(found.benign_benign[0], 1.0 / 50, 1e-15);
  EXPECT_NEAR(found.dragger_average[1], 3 / std::sqrt(125), 1e-15);
}

TEST(Cosines, ZeroGradientsHaveNone) {
  const Cosines found = cosines("all", products_of({{0, 0}, {1, 0}, {0, 2}, {0, -1}, {0, 1}}), 2);
  EXPECT_EQ(found.dragger_benign, std::vector<double>{0});
  EXPECT_EQ(found.dragger_average, std::vector<double>{0});
  EXPECT_EQ(found.benign_average, (std::vector<double>{1, -1}));
  EXPECT_EQ(found.all_benign_benign, -1);
  EXPECT_TRUE(std::isnan(found.norm_ratio));  // the expected benign gradient is lost in noise
}

TEST(Cosines, WrongInput) {
  expect_error([] { cosines("all", {1}, 1); }, {"at least 2", "got 1"});
  expect_error([] { cosines("all", {1, 2}, 2); }, {"2 products of 5 gradients"});
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
  expect_error([&] { study_cosines(with_draggers({}), {.examples = 1}); }, {"--examples"});
  expect_error([&] { study_cosines(with_draggers({}), {.block = 1}); }, {"--block"});
  // The data are looked at before anything is trained.
  const std::string run = (folder / "run").string();
  expect_error([&] { study_cosines(tiny({"run.dir=" + run}), few(1)); }, {"draggers"});
  EXPECT_FALSE(std::filesystem::exists(run));
}

}  // namespace
}  // namespace minnow::study
