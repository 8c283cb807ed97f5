#include <gtest/gtest.h>

#include <cmath>

#include "tests/device.h"
#include "tests/grouped/problem.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

/// A residual net with BatchNorm: the layer that couples the examples of a micro-batch.
namespace minnow::test {
namespace {

constexpr int64_t examples = 6;

Problem problem(DType dtype) {
  nn::ResNetConfig config{.classes = 4, .large_stem = false, .blocks = {1, 1}, .width = 4};
  Problem p{"resnet", std::make_unique<nn::ResNet>(config, nn::Init(3)),
            random_normal({examples, 3, 6, 6}, 21, DType::float32),
            Tensor::from(std::vector<int64_t>{0, 3, 1, 2, 2, 0}, {examples})};
  p.convert(dtype);
  return p;
}

/// The gradient of a micro-batch's average loss by a tape that has never heard of groups.
std::vector<Tensor> alone(const Problem& p, int64_t begin, int64_t end) {
  Tape tape;
  const Var losses = p.loss()(tape, begin, end);
  const double share = 1 / static_cast<double>(end - begin);
  SumSink sink;
  tape.backward(losses, Tensor::full(losses.shape(), share, losses.dtype(), losses.device()), sink);
  std::vector<Tensor> gradients;
  for (const Parameter* q : p.parameters()) {
    gradients.push_back(q->trainable ? on_cpu(sink.gradients[q]) : Tensor());
  }
  return gradients;
}

double norm_of(const std::vector<Tensor>& gradients) {
  double sum = 0;
  for (const Tensor& g : gradients) {
    if (!g.defined()) continue;
    for (double x : g.to_vector<double>()) sum += x * x;
  }
  return std::sqrt(sum);
}

TEST(GroupedBatchNorm, EachMicroBatchIsThatMicroBatchAlone) {
  const Problem p = problem(DType::float64);
  const Parameters parameters = p.parameters();
  const int64_t uneven[] = {2, 0, 3, 1};
  for (const Grouping& grouping : {Grouping::runs(examples, 1), Grouping::runs(examples, 2),
                                   Grouping::runs(examples, 4), Grouping::sizes(uneven)}) {
    const auto& bounds = grouping.bounds();
    std::vector<std::vector<Tensor>> g;
    std::vector<double> norms;
    int64_t largest = 0;
    for (int64_t j = 0; j < grouping.groups(); ++j) {
      if (grouping.size(j) == 0) continue;
      largest = std::max(largest, grouping.size(j));
      g.push_back(alone(p, bounds[j], bounds[j + 1]));
      norms.push_back(norm_of(g.back()));
    }
    const double rho = *std::min_element(norms.begin(), norms.end());
    for (Strategy strategy :
         {Strategy::automatic, Strategy::instantiate, Strategy::norm_only, Strategy::loop}) {
      for (int64_t wave : {int64_t{0}, largest, examples}) {
        ClipState state;
        const GroupedStep got =
            clipped_gradient(parameters, grouping, p.loss(), {.rule = Rule::min}, state,
                             {.strategy = strategy, .wave = wave, .tau = 8});
        EXPECT_NEAR(got.groups.rho, rho, 1e-12 * rho);
        for (size_t l = 0; l < parameters.size(); ++l) {
          ASSERT_EQ(got.update[l].defined(), parameters[l]->trainable);
          if (!parameters[l]->trainable) continue;
          Tensor expected = Tensor::zeros(parameters[l]->value.shape(), DType::float64);
          for (size_t j = 0; j < g.size(); ++j) {
            const double c = rho / norms[j] / static_cast<double>(g.size());
            for (int64_t i = 0; i < expected.numel(); ++i) {
              expected.data<double>()[i] += c * g[j][l].data<double>()[i];
            }
          }
          // Some thousand roundings of 1e-16; statistics of few values multiply them.
          EXPECT_LE(relative_difference(got.update[l], expected), 1e-11) << parameters[l]->name;
        }
      }
    }
  }
}

TEST(GroupedBatchNorm, AnExampleOfAnotherMicroBatchChangesNothing) {
  Problem p = problem(DType::float64);
  const auto step = [&] {
    ClipState state;
    return clipped_gradient(p.parameters(), Grouping::runs(examples, 3), p.loss(),
                            {.rule = Rule::min}, state, {.tau = 8});
  };
  const GroupedStep before = step();
  set_element(p.inputs, p.inputs.numel() - 1, 50.0);  // of the last micro-batch
  const GroupedStep after = step();
  EXPECT_EQ(before.groups.norms[0], after.groups.norms[0]);
  EXPECT_NE(before.groups.norms[1], after.groups.norms[1]);
}

void descend(const Parameters& parameters, const std::vector<Tensor>& update) {
  for (size_t l = 0; l < parameters.size(); ++l) {
    if (!parameters[l]->trainable) continue;
    const Tensor w = on_cpu(parameters[l]->value), g = on_cpu(update[l]);
    for (int64_t i = 0; i < w.numel(); ++i) w.data<float>()[i] -= 0.05f * g.data<float>()[i];
    parameters[l]->value.copy_from(w);
  }
}

TEST(GroupedBatchNorm, OneGroupIsPlainTrainingToTheBitStatisticsIncluded) {
  const Problem clipped = problem(DType::float32), plain = problem(DType::float32);
  for (int step = 0; step < 20; ++step) {
    ClipState state;
    const GroupedStep got =
        clipped_gradient(clipped.parameters(), Grouping::runs(examples, examples), clipped.loss(),
                         {.rule = Rule::min}, state, {});
    descend(clipped.parameters(), got.update);
    descend(plain.parameters(), alone(plain, 0, examples));
  }
  const Parameters a = clipped.parameters(), b = plain.parameters();
  for (size_t l = 0; l < a.size(); ++l)
    EXPECT_TRUE(identical(a[l]->value, b[l]->value)) << a[l]->name;
}

}  // namespace
}  // namespace minnow::test
