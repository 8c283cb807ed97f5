/// One training step as a whole: what it waits for, and what a skipped one leaves as it was.

#include <gtest/gtest.h>

#include <cmath>

#include "engine/memory.h"
#include "tests/device.h"
#include "tests/grouped/problem.h"
#include "train/optimizer.h"

namespace minnow::test {
namespace {

const std::vector<OptimizerConfig>& configs() {
  static const std::vector<OptimizerConfig> all = {
      {.name = "sgd", .lr = 0.1}, {.name = "adam"}, {.name = "adamw"}};
  return all;
}

PendingStep begin(const Problem& problem, const ClipRule& rule, ClipState& state,
                  const GroupedOptions& options = {.tau = 8}) {
  return begin_clipped_gradient(problem.parameters(), Grouping::runs(problem.examples(), 2),
                                problem.loss(), rule, state, options);
}

// Otherwise a GPU would stand still while the host asks it for the next step.
TEST(Step, WaitsForNothing) {
  for (Problem& problem : problems(DType::float32)) {
    for (Rule rule : {Rule::none, Rule::min, Rule::quantile}) {
      for (Strategy strategy : {Strategy::automatic, Strategy::instantiate, Strategy::norm_only}) {
        for (int64_t wave : {0, 3}) {
          SCOPED_TRACE(fmt::format("{}, rule {}, strategy {}, wave {}", problem.name,
                                   static_cast<int>(rule), static_cast<int>(strategy), wave));
          Optimizer optimizer(problem.parameters(), {});
          ClipState state;
          const int64_t before = host_waits();
          PendingStep step =
              begin(problem, {.rule = rule}, state, {.strategy = strategy, .wave = wave, .tau = 8});
          optimizer.step(step.update, 1e-3, step.groups.skipped());
          step.groups.start_reading();
          EXPECT_EQ(host_waits(), before);
          EXPECT_FALSE(step.groups.read().skipped);
          EXPECT_EQ(host_waits(), before + (test_device().is_cuda() ? 1 : 0));
          EXPECT_EQ(optimizer.steps(), 1);
        }
      }
    }
  }
}

/// All that a step changes, on the host.
std::vector<Tensor> everything(const Problem& problem, const Optimizer& optimizer) {
  std::vector<Tensor> all;
  for (const Parameter* p : problem.parameters()) all.push_back(on_cpu(p->value).clone());
  for (const auto& [name, tensor] : optimizer.state()) all.push_back(on_cpu(tensor).clone());
  return all;
}

bool all_identical(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), identical);
}

TEST(Step, LeavesTheInputsAsTheyAre) {
  for (Problem& problem : problems(DType::float32)) {
    if (!problem.inputs.is_floating()) continue;  // ids are never NaN
    problem.inputs.slice(2, 3).fill(std::nan(""));
    const Tensor before = problem.inputs.clone();
    for (Strategy strategy : {Strategy::instantiate, Strategy::norm_only}) {
      ClipState state;
      PendingStep step = begin(problem, {.rule = Rule::min, .on_nonfinite = OnNonfinite::drop},
                               state, {.strategy = strategy, .tau = 8});
      EXPECT_EQ(step.groups.read().nonfinite, 1);
      for (const Tensor& update : step.update) {
        for (float x : update.to_vector<float>()) ASSERT_TRUE(std::isfinite(x)) << problem.name;
      }
      EXPECT_TRUE(identical(problem.inputs, before)) << problem.name;
    }
  }
}

TEST(Step, ASkippedOneChangesNothing) {
  for (const OptimizerConfig& config : configs()) {
    for (Problem& problem : problems(DType::float32)) {
      if (!problem.inputs.is_floating()) continue;
      for (Rule rule : {Rule::none, Rule::min}) {
        SCOPED_TRACE(
            fmt::format("{}, {}, rule {}", config.name, problem.name, static_cast<int>(rule)));
        Optimizer optimizer(problem.parameters(), config);
        ClipState state;
        const Tensor good = problem.inputs.clone();
        const auto take = [&] {
          PendingStep step = begin(problem, {.rule = rule}, state);
          optimizer.step(step.update, 1e-3, step.groups.skipped());
          return step.groups.read();
        };
        EXPECT_FALSE(take().skipped);
        const auto before = everything(problem, optimizer);
        problem.inputs.slice(2, 3).fill(std::nan(""));
        const GroupNorms seen = take();
        EXPECT_TRUE(seen.skipped);
        EXPECT_EQ(seen.nonfinite, 1);
        EXPECT_TRUE(all_identical(everything(problem, optimizer), before));
        EXPECT_EQ(optimizer.steps(), 1);
        problem.inputs.copy_from(good);
        EXPECT_FALSE(take().skipped);
        EXPECT_FALSE(all_identical(everything(problem, optimizer), before));
        EXPECT_EQ(optimizer.steps(), 2);
      }
    }
  }
}

// The gate of a skipped step does not shift what comes after it: the bias correction counts the
// steps that were taken.
TEST(Step, ASkippedOneIsAsIfItHadNotBeen) {
  for (const OptimizerConfig& config : configs()) {
    std::vector<std::vector<Tensor>> ends;
    for (const bool interrupted : {false, true}) {
      const Problem problem = std::move(problems(DType::float32)[0]);
      Optimizer optimizer(problem.parameters(), config);
      ClipState state;
      const Tensor good = problem.inputs.clone();
      for (int k = 0; k < 3; ++k) {
        if (interrupted && k > 0) {
          problem.inputs.fill(std::nan(""));
          const PendingStep broken = begin(problem, {.rule = Rule::min}, state);
          optimizer.step(broken.update, 1e-3, broken.groups.skipped());
          problem.inputs.copy_from(good);
        }
        const PendingStep step = begin(problem, {.rule = Rule::min}, state);
        optimizer.step(step.update, 1e-3, step.groups.skipped());
      }
      ends.push_back(everything(problem, optimizer));
    }
    EXPECT_TRUE(all_identical(ends[0], ends[1])) << config.name;
  }
}

}  // namespace
}  // namespace minnow::test
