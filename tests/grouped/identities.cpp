#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "tests/device.h"
#include "tests/grouped/problem.h"
#include "tests/quick.h"

namespace minnow::test {
namespace {

std::vector<Grouping> groupings(int64_t examples) {
  std::vector<Grouping> all;
  for (int64_t b : {int64_t{1}, int64_t{2}, int64_t{3}, examples - 1, examples}) {
    all.push_back(Grouping::runs(examples, b));
  }
  const int64_t uneven[] = {1, examples - 4, 0, 3};
  all.push_back(Grouping::sizes(uneven));
  return all;
}

/// Every strategy and wave against every group run alone. `bound` is relative to the largest
/// element.
void expect_oracle(const Problem& problem, double bound) {
  const Parameters parameters = problem.parameters();
  ClipState state;
  std::vector<Strategy> strategies = {Strategy::instantiate, Strategy::norm_only};
  if (!quick()) strategies.push_back(Strategy::automatic);  // one of these two for each layer
  const std::vector<int64_t> waves = quick() ? std::vector<int64_t>{0, 2}  // 2: cuts groups in two
                                             : std::vector<int64_t>{0, 1, 2, 4, 5};
  for (const Grouping& grouping : groupings(problem.examples())) {
    const ClipRule rule{.rule = Rule::min};
    const GroupedStep oracle = clipped_gradient(parameters, grouping, problem.loss(), rule, state,
                                                {.strategy = Strategy::loop});
    for (Strategy strategy : strategies) {
      for (int64_t wave : waves) {
        SCOPED_TRACE(fmt::format("{}, K = {}, strategy {}, wave {}", problem.name,
                                 grouping.groups(), static_cast<int>(strategy), wave));
        const GroupedStep got = clipped_gradient(parameters, grouping, problem.loss(), rule, state,
                                                 {.strategy = strategy, .wave = wave, .tau = 8});
        ASSERT_EQ(got.groups.argmin, oracle.groups.argmin);
        for (size_t j = 0; j < oracle.groups.norms.size(); ++j) {
          const double n = oracle.groups.norms[j];
          ASSERT_NEAR(got.groups.norms[j], n, bound * n);
        }
        for (size_t l = 0; l < parameters.size(); ++l) {
          ASSERT_LE(relative_difference(got.update[l], oracle.update[l]), bound)
              << parameters[l]->name;
        }
        ASSERT_LE(relative_difference(got.losses, oracle.losses), bound);
      }
    }
  }
}

TEST(GroupedIdentities, EveryGroupIsThatGroupAloneInFloat64) {
  // Some thousand roundings of 1e-16, in another order.
  for (const Problem& problem : problems(DType::float64)) expect_oracle(problem, 1e-12);
}

/// Its head is used twice.
TEST(GroupedIdentities, AConformerWithIntermediateLosses) {
  expect_oracle(speech_problem(DType::float64, {.intermediate = 0.3}), 1e-12);
  expect_oracle(speech_problem(DType::float32, {.intermediate = 0.3}), 1e-5);
}

TEST(GroupedIdentities, EveryGroupIsThatGroupAloneInFloat32) {
  // What grouped-gradient users may rely on: 1e-5 relative.
  for (const Problem& problem : problems(DType::float32)) expect_oracle(problem, 1e-5);
}

TEST(GroupedIdentities, ThreadsDoNotMatter) {
  const int before = omp_get_max_threads();
  for (const Problem& problem : problems(DType::float32)) {
    ClipState state;
    const Grouping grouping = Grouping::runs(problem.examples(), 2);
    const ClipRule rule{.rule = Rule::min};
    std::vector<GroupedStep> steps;
    for (int threads : {1, 2}) {
      omp_set_num_threads(threads);
      steps.push_back(clipped_gradient(problem.parameters(), grouping, problem.loss(), rule, state,
                                       {.tau = 8}));
    }
    for (size_t l = 0; l < steps[0].update.size(); ++l) {
      EXPECT_LE(relative_difference(steps[1].update[l], steps[0].update[l]), 1e-5);
    }
  }
  omp_set_num_threads(before);
}

TEST(GroupedIdentities, RuleNoneIsThePlainGradient) {
  for (const Problem& problem : problems(DType::float64)) {
    const auto plain = plain_gradient(problem);
    ClipState state;
    for (const Grouping& grouping : groupings(problem.examples())) {
      for (int64_t wave : {0, 3}) {
        const GroupedStep step = clipped_gradient(problem.parameters(), grouping, problem.loss(),
                                                  {}, state, {.wave = wave, .tau = 8});
        for (size_t l = 0; l < plain.size(); ++l) {
          EXPECT_LE(relative_difference(step.update[l], plain[l]), 1e-12)
              << problem.name << ", K = " << grouping.groups();
        }
      }
    }
  }
}

void descend(const Tensor& weight, const Tensor& gradient) {
  const Tensor w = on_cpu(weight), g = on_cpu(gradient);
  for (int64_t i = 0; i < w.numel(); ++i) w.data<float>()[i] -= 0.05f * g.data<float>()[i];
  if (weight.device().is_cuda()) weight.copy_from(w);
}

TEST(GroupedIdentities, OneGroupIsPlainTrainingToTheBitOver20Steps) {
  for (size_t which = 0; which < problems(DType::float32).size(); ++which) {
    const Problem clipped = std::move(problems(DType::float32)[which]);
    const Problem plain = std::move(problems(DType::float32)[which]);
    ClipState state;
    const Grouping grouping = Grouping::runs(clipped.examples(), clipped.examples());
    const Parameters a = clipped.parameters(), b = plain.parameters();
    for (int step = 0; step < 20; ++step) {
      const GroupedStep got = clipped_gradient(a, grouping, clipped.loss(), {.rule = Rule::min},
                                               state, {.strategy = Strategy::automatic});
      ASSERT_EQ(got.groups.coefficients.front(), 1.0);
      const auto expected = plain_gradient(plain);
      for (size_t l = 0; l < a.size(); ++l) {
        descend(a[l]->value, got.update[l]);
        descend(b[l]->value, expected[l]);
        ASSERT_TRUE(identical(a[l]->value, b[l]->value)) << a[l]->name << " at step " << step;
      }
    }
  }
}

TEST(GroupedIdentities, OrderOfTheGroupsDoesNotMatter) {
  Problem problem = std::move(problems(DType::float64)[0]);
  ClipState state;
  const ClipRule rule{.rule = Rule::min};
  const std::vector<int64_t> group_of = {2, 0, 1, 2, 1, 0, 2};
  std::vector<std::vector<Tensor>> updates;
  for (const std::vector<int64_t>& renamed : {std::vector<int64_t>{0, 1, 2}, {2, 0, 1}}) {
    std::vector<int64_t> assigned;
    for (int64_t j : group_of) assigned.push_back(renamed[j]);
    const Grouping grouping = Grouping::assign(assigned, 3);
    Problem arranged = std::move(problems(DType::float64)[0]);
    for (size_t i = 0; i < grouping.order().size(); ++i) {
      const auto to = static_cast<int64_t>(i), from = grouping.order()[i];
      arranged.inputs.slice(to, to + 1).copy_from(problem.inputs.slice(from, from + 1));
      arranged.labels.slice(to, to + 1).copy_from(problem.labels.slice(from, from + 1));
    }
    updates.push_back(
        clipped_gradient(arranged.parameters(), grouping, arranged.loss(), rule, state).update);
  }
  for (size_t l = 0; l < updates[0].size(); ++l) {
    EXPECT_LE(relative_difference(updates[1][l], updates[0][l]), 1e-12);
  }
}

TEST(GroupedIdentities, GramAndGroupGradientsAgree) {
  for (const Problem& problem : problems(DType::float64)) {
    const Grouping grouping = Grouping::runs(problem.examples(), 2);
    const Parameters parameters = problem.parameters();
    const Tensor products = on_cpu(gram(parameters, grouping, problem.loss()));
    auto each = group_gradients(parameters, grouping, problem.loss());
    for (Tensor& g : each) g = on_cpu(g);
    ClipState state;
    const GroupedStep step =
        clipped_gradient(parameters, grouping, problem.loss(), {.rule = Rule::min}, state,
                         {.strategy = Strategy::loop});
    const int64_t k = grouping.groups();
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < k; ++j) {
        double expected = 0;
        for (const Tensor& g : each) {
          const int64_t n = g.numel() / k;
          for (int64_t e = 0; e < n; ++e) {
            expected += g.data<double>()[i * n + e] * g.data<double>()[j * n + e];
          }
        }
        EXPECT_NEAR(products.data<double>()[i * k + j], expected,
                    1e-12 * std::abs(expected) + 1e-13);
      }
      const double norm = step.groups.norms[i];
      EXPECT_NEAR(products.data<double>()[i * k + i], norm * norm, 1e-12 * norm * norm);
    }
  }
}

}  // namespace
}  // namespace minnow::test
