#include "train/task.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/train/program.h"
#include "train/config_keys.h"

namespace minnow {
namespace {

using Settings = std::vector<std::string>;
using test::tiny;

TEST(Task, WhatIsHeldOutIsNeitherLearntNorSpoilt) {
  Config config;
  apply_overrides(config,
                  tiny({"data.validation=0.25", "data.draggers=0.5", "data.augment=crop_flip"}));
  const auto learnt = open_data(config, Split::train, true);
  const auto held_out = open_data(config, Split::test, false);
  EXPECT_EQ(learnt->size(), 72);
  ASSERT_EQ(held_out->size(), 24);
  std::set<int64_t> ids;
  for (int64_t i = 0; i < learnt->size(); ++i) ids.insert(learnt->get(i, 0).id);
  for (int64_t i = 0; i < held_out->size(); ++i) {
    const Example example = held_out->get(i, 0);
    EXPECT_FALSE(example.marked);
    EXPECT_FALSE(ids.contains(example.id));
  }
}

/// Not in copies either.
TEST(Task, WhatIsHeldOutIsNotDuplicated) {
  Config config;
  apply_overrides(
      config, tiny({"data.validation=0.5", "data.draggers=0.9", "data.dragger_kind=duplicate"}));
  const auto learnt = open_data(config, Split::train, false);
  const auto held_out = open_data(config, Split::test, false);
  std::set<std::vector<float>> pictures;
  for (int64_t i = 0; i < held_out->size(); ++i) {
    pictures.insert(held_out->get(i, 0).input.to_vector<float>());
  }
  int copies = 0;
  for (int64_t i = 0; i < learnt->size(); ++i) {
    const Example example = learnt->get(i, 0);
    EXPECT_FALSE(pictures.contains(example.input.to_vector<float>()));
    copies += example.marked;
  }
  EXPECT_GT(copies, 30);  // of 48, 43 on average
}

Tensor fourth_picture(const Settings& settings, Split split = Split::train) {
  Config config;
  apply_overrides(config, settings);
  return open_data(config, split, split == Split::train)->get(3, 1).input;
}

TEST(Task, OnlyTrainingPicturesAreAugmented) {
  for (const char* augment : {"data.augment=crop_flip", "data.augment=deit"}) {
    const auto same = [&](Split split) {
      return fourth_picture({}, split).to_vector<float>() ==
             fourth_picture({augment}, split).to_vector<float>();
    };
    EXPECT_FALSE(same(Split::train));
    EXPECT_TRUE(same(Split::test));
  }
}

TEST(Task, EveryKeyOfDeitCounts) {
  const Settings least{"data.augment=deit", "data.randaug_ops=0", "data.erasing=0"};
  const auto same = [&](const Settings& more, const Settings& others) {
    Settings all = least;
    all.insert(all.end(), more.begin(), more.end());
    return fourth_picture(all).to_vector<float>() == fourth_picture(others).to_vector<float>();
  };
  EXPECT_TRUE(same({}, {"data.augment=crop_flip"}));
  EXPECT_TRUE(same({"data.pad=2"}, {"data.augment=crop_flip", "data.pad=2"}));
  EXPECT_FALSE(same({"data.crop=resized"}, least));
  EXPECT_FALSE(same({"data.erasing=1"}, least));
  EXPECT_FALSE(same({"data.randaug_ops=20"}, least));
  EXPECT_FALSE(same({"data.randaug_ops=20", "data.randaug_magnitude=20"},
                    {"data.augment=deit", "data.randaug_ops=20", "data.erasing=0"}));
}

}  // namespace
}  // namespace minnow
