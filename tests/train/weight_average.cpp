#include "train/weight_average.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <memory>

#include "engine/memory.h"
#include "kernels/random.h"
#include "tests/device.h"
#include "tests/expect_error.h"
#include "tests/grouped/problem.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/run_folder.h"
#include "train/task.h"
#include "train/trainer.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using test::on_cpu;
using test::on_device;

/// Parameters on the test device: one of several blocks, small ones, an empty one, a frozen one.
struct Model {
  std::vector<std::unique_ptr<Parameter>> owned;
  Parameters parameters;

  explicit Model(DType dtype) {
    for (const Shape& shape : {Shape{3}, {200, 350}, {0, 4}, {4097}, {5}}) {
      owned.push_back(std::make_unique<Parameter>(
          Parameter{fmt::format("p{}", owned.size()), Tensor::zeros(shape, dtype)}));
      parameters.push_back(owned.back().get());
    }
    owned.back()->trainable = false;
    draw(0);
  }
  /// New values in [-1, 1), of the float32 numbers.
  void draw(uint64_t seed) {
    RandomSequence random(RandomKey{.seed = seed});
    for (Parameter* p : parameters) {
      std::vector<double> values(static_cast<size_t>(p->value.numel()));
      for (double& x : values) x = static_cast<float>(random.uniform(-1, 1));
      p->value = on_device(Tensor::from(values, p->value.shape()).to(p->value.dtype()));
    }
  }
  std::vector<double> values(size_t i) const {
    return on_cpu(owned[i]->value).to(DType::float64).to_vector<double>();
  }
};

std::vector<Tensor> copies(const std::vector<NamedTensor>& tensors) {
  std::vector<Tensor> all;
  for (const auto& named : tensors) all.push_back(on_cpu(named.tensor).clone());
  return all;
}

void expect_same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(test::identical(a[i], b[i])) << i;
}

// With |weights| <= 1 an update rounds a difference of at most 2, its factor, their product and a
// sum of at most 1: 7 u, and what came before shrinks.
TEST(WeightAverage, FollowsItsFormula) {
  const int updates = 12;  // (1 + t) / (10 + t) passes 0.5 at t = 8
  for (const DType dtype : {DType::float32, DType::float64}) {
    Model model(dtype);
    WeightAverage average(model.parameters, 0.5);
    std::vector<std::vector<double>> expected;
    for (size_t i = 0; i < 5; ++i) expected.push_back(model.values(i));
    for (int t = 1; t <= updates; ++t) {
      model.draw(static_cast<uint64_t>(t));
      const int64_t before = host_waits();
      average.update();
      EXPECT_EQ(host_waits(), before);
      const double d = std::min(0.5, (1.0 + t) / (10.0 + t));
      for (size_t i = 0; i < 5; ++i) {
        const std::vector<double> now = model.values(i);
        for (size_t k = 0; k < now.size(); ++k)
          expected[i][k] = i == 4 ? now[k] : d * expected[i][k] + (1 - d) * now[k];
      }
    }
    EXPECT_EQ(average.steps(), updates);
    const double bound = 7 * updates * (dtype == DType::float32 ? 0x1p-24 : 2 * 0x1p-53);
    const auto found = average.weights();
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(found[i].name, fmt::format("p{}", i));
      const auto values = on_cpu(found[i].tensor).to(DType::float64).to_vector<double>();
      ASSERT_EQ(values.size(), expected[i].size());
      for (size_t k = 0; k < values.size(); ++k)
        ASSERT_NEAR(values[k], expected[i][k], bound) << i << " " << k;
    }
  }
}

TEST(WeightAverage, ASkippedStepChangesNothing) {
  const auto run = [](bool skips) {
    Model model(DType::float32);
    WeightAverage average(model.parameters, 0.9);
    const Tensor skip = on_device(Tensor::full({1}, 1, DType::uint8));
    const Tensor take = on_device(Tensor::full({1}, 0, DType::uint8));
    for (uint64_t t = 1; t <= 3; ++t) {
      if (skips) {
        model.draw(100 + t);
        average.update(skip.data<uint8_t>());
      }
      model.draw(t);
      average.update(take.data<uint8_t>());
    }
    return copies(average.state());
  };
  expect_same_bits(run(true), run(false));
}

TEST(WeightAverage, NoBitDependsOnTheNumberOfThreads) {
  const int before = omp_get_max_threads();
  const auto run = [](int threads) {
    omp_set_num_threads(threads);
    Model model(DType::float32);
    WeightAverage average(model.parameters, 0.9);
    model.draw(1);
    average.update();
    return copies(average.state());
  };
  const auto one = run(1);
  for (const int threads : {2, 3, 7}) expect_same_bits(run(threads), one);
  omp_set_num_threads(before);
}

TEST(WeightAverage, StandsInForTheParametersForAWhile) {
  Model model(DType::float32);
  WeightAverage average(model.parameters, 0.9);
  model.draw(1);
  average.update();
  const auto weights = copies(parameter_tensors(model.parameters));
  const auto averages = copies(average.weights());
  EXPECT_FALSE(test::identical(weights[0], averages[0]));
  {
    const WeightAverage::InPlace in_place(average);
    expect_same_bits(copies(parameter_tensors(model.parameters)), averages);
  }
  expect_same_bits(copies(parameter_tensors(model.parameters)), weights);
  expect_same_bits(copies(average.weights()), averages);
}

TEST(WeightAverage, RefusesAStateThatDoesNotFit) {
  Model model(DType::float32);
  WeightAverage average(model.parameters, 0.9);
  auto state = average.state();
  state.pop_back();
  expect_error([&] { average.load_state(state, "the file"); },
               {"the file", "1 missing: p3 [4097]"});
  state = average.state();
  state[0].tensor = Tensor::from(std::vector<int64_t>{-1}, {});
  expect_error([&] { average.load_state(state); }, {"must not be negative; got -1"});
  expect_error([&] { WeightAverage(model.parameters, 1); }, {"train.ema", "(0, 1)", "got 1"});
}

/// Trains in a new folder of `root`; what is saved at the end.
std::vector<NamedTensor> saved(const fs::path& root, std::vector<std::string> settings) {
  static int runs = 0;
  const fs::path dir = root / fmt::format("run{}", ++runs), file = root / "saved";
  settings.insert(settings.end(), {"run.dir=" + dir.string(), "run.save=" + file.string(),
                                   "schedule.name=constant", "optim.lr=0.1", "optim.name=sgd"});
  const RunPlan plan = plan_run(test::tiny(settings));
  Trainer(plan.config, plan.from).run();
  return load_safetensors(file).tensors;
}

// The weights after 0, 1, 2, ... steps of one run, averaged by the formula, are what a run with
// train.ema saves: bounds as above, times the largest weight.
TEST(WeightAverage, OfARunIsThatOfItsSteps) {
  const TemporaryFolder folder;
  const int steps = 4;
  std::vector<std::vector<NamedTensor>> course;
  for (int k = 1; k <= steps; ++k)
    course.push_back(saved(folder.path(), {fmt::format("train.steps={}", k)}));
  const auto found = saved(folder.path(), {fmt::format("train.steps={}", steps), "train.ema=0.3"});
  Config config;
  apply_overrides(config, test::tiny({"device=cpu"}));
  const auto data = open_data(config, Split::test, false);
  resolve(config, *data);
  const auto start = make_model(config, notes_on(*data));
  for (const Parameter* p : start->parameters()) {
    const auto tensor_of = [&](const std::vector<NamedTensor>& tensors) {
      return SafetensorsFile{tensors, {}}.find(p->name)->to(DType::float64).to_vector<double>();
    };
    auto expected = p->value.to(DType::float64).to_vector<double>();
    double largest = 0;
    for (int t = 1; t <= steps; ++t) {
      const auto now = tensor_of(course[static_cast<size_t>(t) - 1]);
      const double d = std::min(0.3, (1.0 + t) / (10.0 + t));
      for (size_t k = 0; k < now.size(); ++k) {
        expected[k] = d * expected[k] + (1 - d) * now[k];
        largest = std::max(largest, std::abs(now[k]));
      }
    }
    const auto values = tensor_of(found);
    for (size_t k = 0; k < values.size(); ++k)
      ASSERT_NEAR(values[k], expected[k], largest * 7 * steps * 0x1p-24) << p->name;
  }
}

TEST(WeightAverage, CannotBeginInTheMiddleOfARun) {
  const TemporaryFolder folder;
  const auto train = [&](std::vector<std::string> settings) {
    settings.push_back("run.dir=" + (folder / "run").string());
    const RunPlan plan = plan_run(test::tiny(std::move(settings)));
    Trainer(plan.config, plan.from).run();
  };
  train({"train.steps=2"});
  expect_error(
      [&] {
        train({"train.steps=3", "train.ema=0.9", "run.resume=true"});
      },
      {"train.ema: 0.9", "2 steps without averaged weights", "train.ema=0"});
  train({"train.steps=3", "run.resume=true"});
}

}  // namespace
}  // namespace minnow
