#include <fmt/format.h>
#include <gtest/gtest.h>

#include <utility>

#include "data/dataset.h"
#include "tests/expect_error.h"

namespace minnow {
namespace {

/// What a test puts into it.
class Listed : public Dataset {
 public:
  Listed(std::vector<Example> examples, bool ragged, bool transcribed)
      : examples_(std::move(examples)), ragged_(ragged), transcribed_(transcribed) {}

  int64_t size() const override { return std::ssize(examples_); }
  Example get(int64_t i, int64_t) const override { return examples_[static_cast<size_t>(i)]; }
  const std::vector<std::string>& classes() const override { return classes_; }
  bool ragged() const override { return ragged_; }
  bool transcribed() const override { return transcribed_; }

 private:
  std::vector<Example> examples_;
  bool ragged_, transcribed_;
  std::vector<std::string> classes_{"-", "a", "b"};
};

Example sequence(int64_t frames, double value, std::vector<int64_t> target = {}) {
  return {.input = Tensor::full({frames, 2}, value),
          .label = frames,
          .id = 10 + frames,
          .marked = frames == 1,
          .domain = frames % 2,
          .target = std::move(target),
          .text = fmt::format("text {}", value)};
}

const std::vector<int64_t> kAll{0, 1, 2};

TEST(Batch, SequencesArePaddedWithZerosToTheLongest) {
  const Listed data({sequence(1, 1), sequence(3, 2), sequence(0, 3)}, true, false);
  const Batch batch = make_batch(data, kAll, 0);
  EXPECT_EQ(batch.inputs.shape(), (Shape{3, 3, 2}));
  EXPECT_EQ(batch.inputs.to_vector<float>(),
            (std::vector<float>{1, 1, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(batch.lengths.to_vector<int64_t>(), (std::vector<int64_t>{1, 3, 0}));
  EXPECT_EQ(batch.labels.to_vector<int64_t>(), (std::vector<int64_t>{1, 3, 0}));
  EXPECT_EQ(batch.domains, (std::vector<int64_t>{1, 1, 0}));
  EXPECT_EQ(batch.marked, (std::vector<bool>{true, false, false}));
  EXPECT_FALSE(batch.targets.defined());
  EXPECT_TRUE(batch.texts.empty());
}

TEST(Batch, TargetsStandSideBySide) {
  const Listed data({sequence(1, 1, {2}), sequence(1, 2, {}), sequence(2, 3, {1, 2, 1})}, true,
                    true);
  const Batch batch = make_batch(data, kAll, 0);
  EXPECT_EQ(batch.targets.shape(), (Shape{3, 3}));
  EXPECT_EQ(batch.targets.to_vector<int64_t>(), (std::vector<int64_t>{2, 0, 0, 0, 0, 0, 1, 2, 1}));
  EXPECT_EQ(batch.target_lengths.to_vector<int64_t>(), (std::vector<int64_t>{1, 0, 3}));
  EXPECT_EQ(batch.texts, (std::vector<std::string>{"text 1", "text 2", "text 3"}));
}

TEST(Batch, WithoutAnyTargetThereIsStillAnEmptyOneForEach) {
  const Listed data({sequence(1, 1), sequence(2, 2), sequence(3, 3)}, true, true);
  const Batch batch = make_batch(data, kAll, 0);
  EXPECT_EQ(batch.targets.shape(), (Shape{3, 0}));
  EXPECT_EQ(batch.target_lengths.to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 0}));
}

TEST(Batch, InputsOfEqualShapeHaveNoLengths) {
  const Listed data({sequence(2, 1), sequence(2, 2), sequence(2, 3)}, false, false);
  const Batch batch = make_batch(data, kAll, 0);
  EXPECT_EQ(batch.inputs.shape(), (Shape{3, 2, 2}));
  EXPECT_FALSE(batch.lengths.defined());
}

TEST(Batch, ShapesMustAgree) {
  const Listed uneven({sequence(1, 1), sequence(3, 2), sequence(3, 2)}, false, false);
  expect_error([&] { make_batch(uneven, kAll, 0); }, {"[1, 2] of example 11", "of example 13"});
  Example wide = sequence(1, 1);
  wide.input = Tensor::full({1, 3}, 0);
  const Listed widths({sequence(1, 1), wide, wide}, true, false);
  expect_error([&] { make_batch(widths, kAll, 0); }, {"[1, 2] of example 11", "[1, 3]"});
}

}  // namespace
}  // namespace minnow
