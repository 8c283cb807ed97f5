#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/device.h"
#include "tests/grouped/problem.h"
#include "tests/quick.h"

/// What lies beyond the end of an example joins no micro-batch and changes no norm.
namespace minnow::test {
namespace {

GroupedStep step_of(const Problem& problem, int64_t micro_batch, Strategy strategy) {
  ClipState state;
  return clipped_gradient(problem.parameters(), Grouping::runs(problem.examples(), micro_batch),
                          problem.loss(), {.rule = Rule::min}, state,
                          {.strategy = strategy, .tau = 8});
}

/// The same examples in a batch of `frames` frames, with `value` in the padding.
void pad(Problem& problem, int64_t frames, float value) {
  const Tensor from = on_cpu(problem.inputs).to(DType::float32), lengths = on_cpu(problem.lengths);
  const int64_t batch = from.dim(0), features = from.dim(2);
  const Tensor to = Tensor::full({batch, frames, features}, value);
  for (int64_t b = 0; b < batch; ++b) {
    std::copy_n(from.data<float>() + b * from.dim(1) * features,
                lengths.data<int64_t>()[b] * features, to.data<float>() + b * frames * features);
  }
  problem.inputs = on_device(to.to(problem.inputs.dtype()));
}

constexpr Strategy strategies[] = {Strategy::automatic, Strategy::instantiate, Strategy::norm_only,
                                   Strategy::loop};

class GroupedPadding : public testing::TestWithParam<std::string> {
 protected:
  static Problem problem(DType dtype) { return speech_problem(dtype, {.conv_norm = GetParam()}); }
  /// BatchNorm takes off again what the bias before it adds: that has no gradient but roundings.
  static bool is_rounding(const Parameter& parameter) {
    return GetParam() == "batch" && parameter.name.ends_with("sequential.2.bias");
  }
};

INSTANTIATE_TEST_SUITE_P(Norms, GroupedPadding, testing::Values("layer", "group", "batch"),
                         [](const auto& info) { return info.param; });

TEST_P(GroupedPadding, WhatItHoldsChangesNoBit) {
  Problem plain = problem(DType::float32), garbage = problem(DType::float32);
  pad(plain, 27, 0);
  for (float value : {1e30f, static_cast<float>(INFINITY), static_cast<float>(NAN)}) {
    pad(garbage, 27, value);
    for (Strategy strategy : strategies) {
      const GroupedStep expected = step_of(plain, 2, strategy), got = step_of(garbage, 2, strategy);
      EXPECT_EQ(got.groups.norms, expected.groups.norms);
      EXPECT_TRUE(identical(got.losses, expected.losses));
      for (size_t l = 0; l < expected.update.size(); ++l) {
        ASSERT_TRUE(identical(got.update[l], expected.update[l]))
            << plain.parameters()[l]->name << ", padded with " << value;
      }
    }
  }
}

/// The longer batch adds zeros to its sums, whose terms then meet in another order: some hundred
/// roundings of 1e-16 of the largest terms, which are not much larger than the sums.
TEST_P(GroupedPadding, MoreOfItChangesNothing) {
  const Problem tight = problem(DType::float64);
  Problem wide = problem(DType::float64);
  const std::vector<int64_t> lengths =
      quick() ? std::vector<int64_t>{31, 64} : std::vector<int64_t>{28, 31, 64, 151};
  for (int64_t frames : lengths) {
    pad(wide, frames, NAN);
    for (int64_t b : {1, 3, 7}) {
      for (Strategy strategy : strategies) {
        const GroupedStep expected = step_of(tight, b, strategy), got = step_of(wide, b, strategy);
        EXPECT_LE(relative_difference(got.losses, expected.losses), 1e-13);
        for (size_t j = 0; j < expected.groups.norms.size(); ++j) {
          EXPECT_NEAR(got.groups.norms[j], expected.groups.norms[j],
                      1e-13 * expected.groups.norms[j]);
        }
        for (size_t l = 0; l < expected.update.size(); ++l) {
          if (is_rounding(*tight.parameters()[l])) continue;
          EXPECT_LE(relative_difference(got.update[l], expected.update[l]), 1e-13)
              << tight.parameters()[l]->name << " in " << frames << " frames";
        }
      }
    }
  }
}

/// An example meets the same dropout masks wherever it stands, and however long the others are.
TEST(Padding, DropoutFollowsTheExample) {
  const Problem problem = speech_problem(DType::float64);
  const auto losses = [&](const std::vector<int64_t>& ids, int64_t frames) {
    Problem arranged = speech_problem(DType::float64);
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto to = static_cast<int64_t>(i), from = ids[i];
      arranged.inputs.slice(to, to + 1).copy_from(problem.inputs.slice(from, from + 1));
      arranged.lengths.slice(to, to + 1).copy_from(problem.lengths.slice(from, from + 1));
      arranged.targets.slice(to, to + 1).copy_from(problem.targets.slice(from, from + 1));
      arranged.target_lengths.slice(to, to + 1)
          .copy_from(problem.target_lengths.slice(from, from + 1));
    }
    pad(arranged, frames, 0);
    Tape tape;
    tape.set_random({.seed = 5,
                     .step = 1,
                     .example_ids = on_device(Tensor::from(ids, {std::ssize(ids)})),
                     .training = true});
    const Var logits = arranged.model->forward(tape.input(arranged.inputs), arranged.lengths);
    std::vector<int64_t> ends;
    for (int64_t n : on_cpu(arranged.lengths).to_vector<int64_t>()) {
      ends.push_back(arranged.model->output_length(n));
    }
    const Var all = ctc_loss(logits, on_device(Tensor::from(ends, {std::ssize(ends)})),
                             arranged.targets, arranged.target_lengths);
    return on_cpu(all.value()).to_vector<double>();
  };
  std::vector<int64_t> ids(static_cast<size_t>(problem.examples()));
  std::iota(ids.begin(), ids.end(), 0);
  const std::vector<double> expected = losses(ids, 27);
  const std::vector<int64_t> moved = {4, 2, 6, 0, 5, 1, 3};
  const std::vector<double> got = losses(moved, 40);
  for (size_t i = 0; i < moved.size(); ++i) {
    EXPECT_NEAR(got[i], expected[moved[i]], 1e-13 * expected[moved[i]]) << moved[i];
  }
}

}  // namespace
}  // namespace minnow::test
