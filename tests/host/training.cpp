/// Whole training runs with the CUDA sources, executed by the processor: against the CPU's own
/// kernels, and against themselves with blocks and threads in another order.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/host/fibres.h"
#include "tests/grouped/problem.h"
#include "train/optimizer.h"

namespace minnow::test {
namespace {

constexpr int steps = 20;

/// What a run leaves behind.
struct Trained {
  std::vector<double> losses;  // of each step, the mean
  std::vector<Tensor> weights;
};

/// The ViT of the grouped tests, with dropout and drop-path, from the same start.
Trained train(Device device, const ClipRule& rule, int64_t micro_batch) {
  Problem problem = std::move(problems(DType::float32)[2]);
  EXPECT_EQ(problem.name, "vit");
  problem.inputs = problem.inputs.to(device);
  problem.model->to(device);
  const Parameters parameters = problem.parameters();
  Optimizer optimizer(parameters, {.name = "adamw", .lr = 1e-3});
  ClipState state;
  Trained run;
  for (int step = 0; step < steps; ++step) {
    const Grouping grouping = Grouping::runs(problem.examples(), micro_batch);
    PendingStep pending = begin_clipped_gradient(parameters, grouping, problem.loss(), rule, state,
                                                 {.wave = 4, .tau = 8});
    optimizer.step(pending.update, 1e-3, pending.groups.skipped());
    double sum = 0;
    for (float loss : pending.losses.to_vector<float>()) sum += loss;
    run.losses.push_back(sum / static_cast<double>(problem.examples()));
    EXPECT_FALSE(pending.groups.read().skipped);
  }
  for (const Parameter* p : parameters) run.weights.push_back(p->value.to(Device::cpu()));
  return run;
}

struct Kind {
  const char* name;
  ClipRule rule;
  int64_t micro_batch;
};

class HostTraining : public testing::TestWithParam<Kind> {};

INSTANTIATE_TEST_SUITE_P(Rules, HostTraining,
                         testing::Values(Kind{"plain", {.rule = Rule::none}, 7},
                                         Kind{"clipped1", {.rule = Rule::min}, 1},
                                         Kind{"clipped3", {.rule = Rule::min}, 3}),
                         [](const auto& info) { return info.param.name; });

/// Both devices add the same numbers up in another order. The longest sums of this model run over
/// some 300 terms, so that a gradient element differs by at most 300 eps of the largest. AdamW
/// divides by the gradient's own size, so that a step moves a weight by at most lr / (1 - beta1)
/// however small its gradient, and where the gradient is rounding alone, the two devices may move
/// it in opposite directions: 2 lr a step at the very worst. Such weights have no slope, so what
/// reaches the loss is the 300 eps, made at every step and added up over the steps.
TEST_P(HostTraining, FollowsTheCpu) {
  const Kind& kind = GetParam();
  const Trained cpu = train(Device::cpu(), kind.rule, kind.micro_batch);
  const Trained cuda = train(Device::cuda(), kind.rule, kind.micro_batch);
  for (int step = 0; step < steps; ++step) {
    const double bound =
        300 * (step + 1) * double{std::numeric_limits<float>::epsilon()} * cpu.losses[step];
    EXPECT_NEAR(cuda.losses[step], cpu.losses[step], bound) << "step " << step;
  }
  EXPECT_LT(cpu.losses.back(), cpu.losses.front());
}

TEST_P(HostTraining, DoesNotDependOnTheOrderOfBlocksAndThreads) {
  const Kind& kind = GetParam();
  const uint64_t before = cuda::host::set_order(0);
  const Trained ascending = train(Device::cuda(), kind.rule, kind.micro_batch);
  for (uint64_t seed : {uint64_t{5}, uint64_t{6}}) {
    cuda::host::set_order(seed);
    const Trained shuffled = train(Device::cuda(), kind.rule, kind.micro_batch);
    EXPECT_EQ(shuffled.losses, ascending.losses) << "order " << seed;
    for (size_t l = 0; l < ascending.weights.size(); ++l) {
      EXPECT_TRUE(identical(shuffled.weights[l], ascending.weights[l])) << "order " << seed;
    }
  }
  cuda::host::set_order(before);
}

}  // namespace
}  // namespace minnow::test
