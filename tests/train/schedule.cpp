#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/expect_error.h"

namespace minnow {
namespace {

TEST(Schedule, ConstantAfterALinearWarmUp) {
  const ScheduleConfig config = {"constant", 4, 0};
  const double expected[] = {0.25, 0.5, 0.75, 1, 1, 1};
  for (int64_t step = 0; step < 6; ++step) {
    EXPECT_DOUBLE_EQ(learning_rate(config, 2.0, step, 6), 2 * expected[step]) << step;
  }
  EXPECT_EQ(learning_rate({"constant", 0, 0}, 0.3, 0, 1), 0.3);
}

TEST(Schedule, CosineFallsFromBaseToMinimum) {
  const ScheduleConfig config = {"cosine", 2, 0.1};
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 0, 10), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 1, 10), 1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 2, 10), 1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 4, 10),
                   0.1 + 0.9 * (2 + std::sqrt(2.0)) / 4);  // an eighth of a turn
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 6, 10), 0.55);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 8, 10), 0.1 + 0.9 * (2 - std::sqrt(2.0)) / 4);
  EXPECT_EQ(learning_rate(config, 1, 10, 10), 0.1);
  EXPECT_EQ(learning_rate(config, 1, 99, 10), 0.1);
  for (int64_t step = 2; step < 10; ++step) {
    EXPECT_GT(learning_rate(config, 1, step, 10), learning_rate(config, 1, step + 1, 10));
  }
}

TEST(Schedule, InverseRootGoesOnFromTheWarmUp) {
  const ScheduleConfig config = {"inverse_sqrt", 4, 0.2};
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 0, 1000), 0.25);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 3, 1000), 1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 15, 1000), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 63, 1000), 0.25);
  EXPECT_EQ(learning_rate(config, 1, 999, 1000), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate({"inverse_sqrt", 0, 0}, 1, 0, 10), 1);
  EXPECT_DOUBLE_EQ(learning_rate({"inverse_sqrt", 0, 0}, 1, 3, 10), 0.5);
}

TEST(Schedule, ARunShorterThanItsWarmUp) {
  const ScheduleConfig config = {"cosine", 10, 0};
  EXPECT_DOUBLE_EQ(learning_rate(config, 1, 2, 3), 0.3);
  EXPECT_EQ(learning_rate({"cosine", 3, 0}, 1, 3, 3), 0);
}

TEST(Schedule, WrongSettingsAreNamed) {
  expect_error(
      [] {
        learning_rate({"linear", 0, 0}, 1, 0, 1);
      },
      {"schedule.name", "constant, cosine or inverse_sqrt", "linear"});
  expect_error([] { learning_rate({"cosine", -1, 0}, 1, 0, 1); }, {"schedule.warmup", "-1"});
  expect_error(
      [] {
        learning_rate({"cosine", 0, 2}, 1, 0, 1);
      },
      {"schedule.min_lr", "[0, 1]", "2"});
  expect_error([] { learning_rate({"cosine", 0, std::nan("")}, 1, 0, 1); }, {"min_lr", "nan"});
  expect_error([] { learning_rate({"cosine", 0, 0}, 1, -1, 1); }, {"count from 0", "-1"});
}

}  // namespace
}  // namespace minnow
