#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "engine/grouped_backward.h"
#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

constexpr int64_t examples = 7, channels = 3, inner = 4;
constexpr double momentum = 0.1;

struct Layer {
  Parameter weight = made("weight", 1, true), bias = made("bias", 0, true);
  Parameter mean = made("running_mean", 0.5, false), var = made("running_var", 2, false);

  static Parameter made(const std::string& name, double value, bool trainable) {
    return {.name = name,
            .value = on_device(Tensor::full({channels}, value, DType::float64)),
            .trainable = trainable};
  }
  Parameters parameters() { return {&weight, &bias, &mean, &var}; }
  std::vector<double> statistics() const {
    auto all = on_cpu(mean.value).to_vector<double>();
    for (double v : on_cpu(var.value).to_vector<double>()) all.push_back(v);
    return all;
  }
};

LossFn loss_of(const Layer& layer, const Tensor& x, bool training = true) {
  return [&layer, x, training](Tape& tape, int64_t begin, int64_t end) {
    tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = training});
    const Var y = batchnorm(tape.input(x.slice(begin, end)), layer.weight, layer.bias, layer.mean,
                            layer.var, {.momentum = momentum});
    return weighted_losses(y, on_device(random_normal({end - begin, channels, inner}, 9)));
  };
}

void step(Layer& layer, const Tensor& x, const Grouping& grouping, const GroupedOptions& options) {
  ClipState state;
  clipped_gradient(layer.parameters(), grouping, loss_of(layer, x),
                   {.rule = Rule::min, .on_nonfinite = OnNonfinite::drop}, state, options);
}

Tensor pictures() {
  return on_device(random_normal({examples, channels, inner}, 4));
}

/// The running statistics after the groups, by the formula.
std::vector<double> expected(const Grouping& grouping, const Tensor& device_x) {
  const Tensor x = on_cpu(device_x);
  std::vector<double> running(channels, 0.5);
  running.resize(2 * channels, 2);
  for (int64_t j = 0; j < grouping.groups(); ++j) {
    const double count = static_cast<double>(grouping.size(j) * inner);
    if (count == 0) continue;
    const double keep = std::pow(1 - momentum, static_cast<double>(grouping.size(j)) / examples);
    for (int64_t c = 0; c < channels; ++c) {
      double sum = 0, squares = 0;
      const auto each = [&](auto f) {
        for (int64_t e = grouping.bounds()[j]; e < grouping.bounds()[j + 1]; ++e) {
          for (int64_t k = 0; k < inner; ++k) f(x.data<double>()[(e * channels + c) * inner + k]);
        }
      };
      each([&](double v) { sum += v; });
      each([&](double v) { squares += std::pow(v - sum / count, 2); });
      if (!std::isfinite(squares)) continue;
      running[c] = keep * running[c] + (1 - keep) * sum / count;
      running[channels + c] = keep * running[channels + c] + (1 - keep) * squares / (count - 1);
    }
  }
  return running;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-13) << i;
}

TEST(BatchNorm, RunningStatisticsFollowTheMicroBatches) {
  const Tensor x = pictures();
  const int64_t uneven[] = {2, 0, 4, 1};
  for (const Grouping& grouping : {Grouping::runs(examples, examples), Grouping::runs(examples, 1),
                                   Grouping::runs(examples, 3), Grouping::sizes(uneven)}) {
    for (const GroupedOptions& options :
         {GroupedOptions{.tau = 3}, GroupedOptions{.strategy = Strategy::loop, .tau = 3},
          GroupedOptions{.wave = examples, .tau = 3}}) {
      Layer layer;
      step(layer, x, grouping, options);
      expect_near(layer.statistics(), expected(grouping, x));
    }
  }
}

TEST(BatchNorm, WavesDoNotMatter) {
  const Tensor x = pictures();
  const Grouping grouping = Grouping::runs(examples, 2);
  for (int64_t wave : {2, 4, 6}) {
    Layer layer;
    step(layer, x, grouping, {.wave = wave, .tau = 3});
    expect_near(layer.statistics(), expected(grouping, x));
  }
}

TEST(BatchNorm, OneBatchMovesThemAsPyTorchDoes) {
  const Tensor x = pictures();
  Layer layer;
  step(layer, x, Grouping::runs(examples, examples), {});
  // running = 0.9 running + 0.1 batch, the variance unbiased
  const auto values = on_cpu(x).to_vector<double>();
  double sum = 0, squares = 0;
  constexpr double count = examples * inner;
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (i / inner % channels == 1) sum += values[i];
  }
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (i / inner % channels == 1) squares += std::pow(values[i] - sum / count, 2);
  }
  EXPECT_NEAR(layer.statistics()[1], 0.9 * 0.5 + 0.1 * sum / count, 1e-13);
  EXPECT_NEAR(layer.statistics()[channels + 1], 0.9 * 2 + 0.1 * squares / (count - 1), 1e-13);
}

TEST(BatchNorm, MicroBatchesThatAreNotFiniteLeaveThemAlone) {
  const Tensor x = pictures();
  set_element(x, 5, std::numeric_limits<double>::quiet_NaN());
  const Grouping grouping = Grouping::runs(examples, 2);
  Layer layer;
  step(layer, x, grouping, {.tau = 3});
  expect_near(layer.statistics(), expected(grouping, x));
}

/// Sequences: what lies beyond an example's length counts for nothing, a group without two values
/// of a channel moves nothing, and each of the others weighs by its examples.
TEST(BatchNorm, RunningStatisticsOfRaggedMicroBatches) {
  const std::vector<int64_t> lengths = {3, 4, 0, 0, 1, 0, 2};
  const int64_t sizes[] = {2, 2, 2, 1};  // 7, 0, 1 and 2 values of a channel
  const Tensor x = pictures();
  for (size_t e = 0; e < lengths.size(); ++e) {
    for (int64_t i = 0; i < channels * inner; ++i) {
      if (i % inner < lengths[e]) continue;
      set_element(x, static_cast<int64_t>(e) * channels * inner + i,
                  std::numeric_limits<double>::quiet_NaN());
    }
  }
  Layer layer;
  const LossFn loss = [&](Tape& tape, int64_t begin, int64_t end) {
    tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
    const Tensor ends = on_device(Tensor::from(lengths, {examples})).slice(begin, end);
    const Var y = batchnorm(tape.input(x.slice(begin, end)), layer.weight, layer.bias, layer.mean,
                            layer.var, {.momentum = momentum, .lengths = ends});
    return weighted_losses(y, on_device(random_normal({end - begin, channels, inner}, 9)));
  };
  ClipState state;
  clipped_gradient(layer.parameters(), Grouping::sizes(sizes), loss,
                   {.rule = Rule::min, .on_nonfinite = OnNonfinite::drop}, state, {});
  std::vector<double> running(channels, 0.5);
  running.resize(2 * channels, 2);
  const Tensor values = on_cpu(x);
  int64_t first = 0;
  for (const int64_t size : sizes) {
    for (int64_t c = 0; c < channels; ++c) {
      std::vector<double> live;
      for (int64_t e = first; e < first + size; ++e) {
        const double* plane = values.data<double>() + (e * channels + c) * inner;
        live.insert(live.end(), plane, plane + lengths[static_cast<size_t>(e)]);
      }
      if (live.size() < 2) continue;
      const auto count = static_cast<double>(live.size());
      const double mean = std::accumulate(live.begin(), live.end(), 0.0) / count;
      double squares = 0;
      for (const double v : live) squares += (v - mean) * (v - mean);
      const double keep = std::pow(1 - momentum, static_cast<double>(size) / examples);
      running[c] = keep * running[c] + (1 - keep) * mean;
      running[channels + c] = keep * running[channels + c] + (1 - keep) * squares / (count - 1);
    }
    first += size;
  }
  expect_near(layer.statistics(), running);
}

/// One value of a channel has no variance and becomes the bias, however long the padding is.
TEST(BatchNorm, OneFrameBecomesTheBias) {
  for (const int64_t frames : {1, 5}) {
    Layer layer;
    set_element(layer.bias.value, 1, 3.0);
    Tape tape;
    tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
    const Tensor x = on_device(random_normal({1, channels, frames}, 4));
    const Var y = batchnorm(tape.input(x), layer.weight, layer.bias, layer.mean, layer.var,
                            {.lengths = on_device(Tensor::from(std::vector<int64_t>{1}, {1}))});
    const auto out = on_cpu(y.value()).to_vector<double>();
    for (int64_t i = 0; i < channels * frames; ++i) EXPECT_EQ(out[i], i == frames ? 3 : 0) << i;
  }
}

TEST(BatchNorm, EvaluationReadsThemAndLeavesThemAlone) {
  const Tensor x = pictures();
  Layer layer;
  const auto before = layer.statistics();
  Tape tape(Tape::Mode::evaluate);
  const Var y = batchnorm(tape.input(x), layer.weight, layer.bias, layer.mean, layer.var);
  EXPECT_EQ(layer.statistics(), before);
  const auto in = on_cpu(x).to_vector<double>(), out = on_cpu(y.value()).to_vector<double>();
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_NEAR(out[i], (in[i] - 0.5) / std::sqrt(2 + 1e-5), 1e-14);
  }
}

TEST(BatchNorm, APieceOfAMicroBatchIsRefused) {
  Layer layer;
  try {
    step(layer, pictures(), Grouping::runs(examples, 4), {.wave = 3});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("train.wave must be 0 or hold a whole micro-batch"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace minnow::test
