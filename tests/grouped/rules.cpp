#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/grouped/problem.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor zeros(const Shape& shape) {
  return Tensor::zeros(shape, DType::float64, test_device());
}

/// Two parameters of two elements and examples whose gradients are given: row i of `gradients` is
/// that of example i, the first half for parameter "a", the second for "b".
class Given {
 public:
  explicit Given(std::vector<std::array<double, 4>> gradients) : rows_(std::move(gradients)) {
    for (Parameter* p : {&a_, &b_}) p->value = zeros({2});
    a_.name = "a";
    b_.name = "b";
  }

  Parameters parameters() { return {&a_, &b_}; }
  LossFn loss() {
    return [this](Tape& tape, int64_t begin, int64_t end) {
      const auto half = [&](const Parameter& p, int64_t first) {
        const Tensor w = Tensor::empty({end - begin, 2}, DType::float64);
        for (int64_t i = begin; i < end; ++i) {
          for (int64_t k = 0; k < 2; ++k)
            w.data<double>()[(i - begin) * 2 + k] = rows_[i][first + k];
        }
        const Var x = tape.input(zeros({end - begin, 2}));
        return weighted_losses(add_parameter(x, p), w);
      };
      return add(half(a_, 0), half(b_, 2));
    };
  }
  GroupedStep step(const Grouping& grouping, const ClipRule& rule,
                   const GroupedOptions& options = {}) {
    return clipped_gradient(parameters(), grouping, loss(), rule, state, options);
  }

  ClipState state;
  Parameter a_, b_;

 private:
  std::vector<std::array<double, 4>> rows_;
};

void expect_update(const GroupedStep& step, const std::array<double, 4>& expected) {
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(step.update[i / 2].to_vector<double>()[i % 2], expected[i], 1e-14)
        << "element " << i;
  }
}

/// Norms 5, 10, 2.
Given three() {
  return Given({{3, 0, 4, 0}, {0, 6, 0, 8}, {0, 0, 2, 0}});
}
/// A new one each time: a grouping keeps memory of the device, which must not outlive main().
Grouping each_of_three() {
  return Grouping::runs(3, 1);
}

TEST(Rules, MinScalesAllToTheSmallest) {
  const GroupedStep step = three().step(each_of_three(), {.rule = Rule::min});
  EXPECT_EQ(step.groups.norms, (std::vector<double>{5, 10, 2}));
  EXPECT_EQ(step.groups.rho, 2);
  EXPECT_EQ(step.groups.argmin, 2);
  const std::vector<double> expected = {0.4, 0.2, 1};
  for (size_t j = 0; j < 3; ++j) EXPECT_NEAR(step.groups.coefficients[j], expected[j], 1e-15);
  expect_update(step, {1.2 / 3, 1.2 / 3, (1.6 + 2) / 3, 1.6 / 3});
}

TEST(Rules, SumIsKTimesMean) {
  for (Rule rule :
       {Rule::none, Rule::min, Rule::fixed, Rule::quantile, Rule::automatic, Rule::normalize}) {
    const GroupedStep mean = three().step(each_of_three(), {.rule = rule});
    const GroupedStep sum =
        three().step(each_of_three(), {.rule = rule, .reduction = Reduction::sum});
    for (size_t l = 0; l < 2; ++l) {
      const auto sums = sum.update[l].to_vector<double>(),
                 means = mean.update[l].to_vector<double>();
      for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(sums[i], 3 * means[i], 1e-14);
    }
  }
}

TEST(Rules, FixedClipsOnlyWhatIsLonger) {
  const GroupedStep step = three().step(each_of_three(), {.rule = Rule::fixed, .threshold = 5});
  EXPECT_EQ(step.groups.coefficients, (std::vector<double>{1, 0.5, 1}));
}

TEST(Rules, AutomaticAndNormalize) {
  const GroupedStep automatic =
      three().step(each_of_three(), {.rule = Rule::automatic, .gamma = 0.5});
  const GroupedStep normalize = three().step(each_of_three(), {.rule = Rule::normalize});
  for (size_t j = 0; j < 3; ++j) {
    const double n = automatic.groups.norms[j];
    EXPECT_NEAR(automatic.groups.coefficients[j], 1 / (n + 0.5), 1e-15);
    EXPECT_NEAR(normalize.groups.coefficients[j], 1 / n, 1e-15);
  }
}

TEST(Rules, QuantileFollowsTheNorms) {
  Given given = three();
  const ClipRule rule{
      .rule = Rule::quantile, .threshold = 1, .quantile = 0.5, .quantile_rate = 0.2};
  given.step(each_of_three(), rule);
  // No norm is below 1, so the threshold grows by e^(rate * q).
  ASSERT_EQ(given.state.values().size(), 1u);
  EXPECT_NEAR(given.state.values()[0], std::exp(0.2 * 0.5), 1e-15);
  for (int i = 0; i < 200; ++i) given.step(each_of_three(), rule);
  // With norms 2, 5, 10 the share below C jumps from 1/3 to 2/3 at 5: C hovers there.
  EXPECT_NEAR(given.state.values()[0], 5, 5 * 0.05);
}

TEST(Rules, LayerScopeTakesEachParameterAlone) {
  const GroupedStep step =
      three().step(each_of_three(), {.rule = Rule::min, .scope = Scope::layer});
  // Norms of a: 3, 6, 0 (no direction, left out); of b: 4, 8, 2.
  expect_update(step, {3.0 / 2, 3.0 / 2, (2.0 + 2.0) / 3, 2.0 / 3});
  EXPECT_NEAR(step.groups.coefficients[0], 1, 1e-15);
  EXPECT_NEAR(step.groups.coefficients[1], 0.5, 1e-15);
  EXPECT_EQ(step.groups.coefficients[2], 0);
  EXPECT_NEAR(step.groups.coefficients[3], 0.5, 1e-15);
}

TEST(Rules, DomainScopeTakesTheMinimumWithinADomain) {
  for (int64_t wave : {0, 1, 2}) {
    Given given({{1, 0, 0, 0}, {0, 8, 0, 0}, {0, 0, 3, 0}, {0, 0, 0, 4}});
    Grouping grouping = Grouping::runs(4, 1);
    grouping.set_domains({0, 1, 0, 1});
    const GroupedStep step =
        given.step(grouping, {.rule = Rule::min, .scope = Scope::domain}, {.wave = wave});
    expect_update(step, {0.25, 1, 0.25, 1});
  }
  EXPECT_THROW(three().step(each_of_three(), {.rule = Rule::min, .scope = Scope::domain}), Error);
}

TEST(Rules, ZeroGradientNeitherDecidesNorCounts) {
  Given given({{0, 0, 0, 0}, {3, 0, 4, 0}, {0, 0, 2, 0}});
  const GroupedStep step = given.step(each_of_three(), {.rule = Rule::min});
  EXPECT_EQ(step.groups.rho, 2);
  EXPECT_EQ(step.groups.argmin, 2);
  EXPECT_EQ(step.groups.ineligible, 1);
  EXPECT_EQ(step.groups.nonfinite, 0);
  EXPECT_FALSE(step.groups.skipped);
  expect_update(step, {0.6, 0, 1.8, 0});
  // But it is a fair part of a plain average.
  Given plain({{0, 0, 0, 0}, {3, 0, 4, 0}, {0, 0, 2, 0}});
  expect_update(plain.step(each_of_three(), {}), {1, 0, 2, 0});
}

TEST(Rules, EmptyGroupsAreLeftOut) {
  const int64_t sizes[] = {1, 0, 2};
  const GroupedStep step = three().step(Grouping::sizes(sizes), {.rule = Rule::min});
  EXPECT_EQ(step.groups.ineligible, 1);
  // The last group is the average of two: (0, 3, 1, 4) of norm sqrt(26), the first has norm 5.
  const double c = 5 / std::sqrt(26.0);
  expect_update(step, {1.5, 3 * c / 2, (4 + c) / 2, 4 * c / 2});
}

TEST(Rules, NonfiniteGroups) {
  for (double bad : {nan, infinity}) {
    for (int64_t wave : {0, 1, 2}) {
      for (Strategy strategy : {Strategy::instantiate, Strategy::norm_only, Strategy::loop}) {
        const auto given = [&] { return Given({{3, 0, 4, 0}, {0, bad, 0, 8}, {0, 0, 2, 0}}); };
        const GroupedOptions options{.strategy = strategy, .wave = wave};
        ClipRule rule{.rule = Rule::min, .on_nonfinite = OnNonfinite::drop};
        const GroupedStep dropped = given().step(each_of_three(), rule, options);
        EXPECT_EQ(dropped.groups.nonfinite, 1);
        EXPECT_EQ(dropped.groups.ineligible, 1);
        EXPECT_FALSE(dropped.groups.skipped);
        expect_update(dropped, {0.6, 0, 1.8, 0});
        rule.on_nonfinite = OnNonfinite::skip;
        const GroupedStep skipped = given().step(each_of_three(), rule, options);
        EXPECT_TRUE(skipped.groups.skipped);
        expect_update(skipped, {0, 0, 0, 0});
        rule.on_nonfinite = OnNonfinite::error;
        EXPECT_THROW(given().step(each_of_three(), rule, options), RunError);
      }
    }
  }
}

TEST(Rules, NobodyLeftSkipsTheStep) {
  Given given({{0, 0, 0, 0}, {0, 0, 0, 0}});
  const GroupedStep step = given.step(Grouping::runs(2, 1), {.rule = Rule::min});
  EXPECT_TRUE(step.groups.skipped);
  EXPECT_EQ(step.groups.argmin, -1);
  expect_update(step, {0, 0, 0, 0});
}

TEST(Rules, FrozenParametersAreOutsideTheNorm) {
  Given given = three();
  given.a_.trainable = false;
  const GroupedStep step = given.step(each_of_three(), {.rule = Rule::min});
  EXPECT_EQ(step.groups.norms, (std::vector<double>{4, 8, 2}));
  EXPECT_FALSE(step.update[0].defined());
  EXPECT_NEAR(step.update[1].to_vector<double>()[0], (2.0 + 2.0) / 3, 1e-15);
}

TEST(Rules, ReusedParametersAreAddedBeforeTheNorm) {
  Parameter p{.name = "p", .value = zeros({2})};
  const auto loss = [&](Tape& tape, int64_t begin, int64_t end) {
    const Tensor w = Tensor::full({end - begin, 2}, 1, DType::float64);
    const Var twice = add_parameter(add_parameter(tape.input(zeros({end - begin, 2})), p), p);
    return weighted_losses(twice, w);
  };
  for (Strategy strategy : {Strategy::automatic, Strategy::instantiate, Strategy::norm_only}) {
    ClipState state;
    const GroupedStep step = clipped_gradient({&p}, Grouping::runs(2, 1), loss, {.rule = Rule::min},
                                              state, {.strategy = strategy});
    EXPECT_NEAR(step.groups.norms[0], std::sqrt(8.0), 1e-15);  // |(2, 2)|, not |(1, 1)| twice
    EXPECT_NEAR(step.update[0].to_vector<double>()[0], 2, 1e-15);
  }
}

TEST(Rules, ParameterTheListDoesNotKnowIsAnError) {
  Given given = three();
  ClipState state;
  EXPECT_THROW(clipped_gradient({&given.a_}, each_of_three(), given.loss(), {}, state), Error);
}

TEST(Groups, SizesAndMessages) {
  EXPECT_EQ(Grouping::runs(7, 3).bounds(), (std::vector<int64_t>{0, 3, 6, 7}));
  EXPECT_EQ(Grouping::runs(6, 3).bounds(), (std::vector<int64_t>{0, 3, 6}));
  EXPECT_THROW(Grouping::runs(4, 5), Error);
  EXPECT_THROW(Grouping::runs(4, 0), Error);
  EXPECT_THROW(Grouping::runs(0, 1), Error);
  const int64_t of[] = {1, 0, 1, 0};
  const Grouping assigned = Grouping::assign(of, 2);
  EXPECT_EQ(assigned.order(), (std::vector<int64_t>{1, 3, 0, 2}));
  EXPECT_EQ(assigned.bounds(), (std::vector<int64_t>{0, 2, 4}));
  const int64_t outside[] = {0, 2};
  EXPECT_THROW(Grouping::assign(outside, 2), Error);
  EXPECT_THROW(Grouping::runs(6, 2).segments(7, Device::cpu()), Error);
  try {
    rule_from("minimum");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(
        e.what(),
        "clip.rule: one of none, min, fixed, quantile, automatic, normalize; got \"minimum\"");
  }
}

}  // namespace
}  // namespace minnow::test
