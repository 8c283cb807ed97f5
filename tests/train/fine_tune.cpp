#include "train/fine_tune.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/device.h"
#include "tests/expect_error.h"
#include "tests/grouped/problem.h"
#include "tests/op_case.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace minnow {
namespace {

using Settings = std::vector<std::string>;
using test::on_cpu;
using test::Problem;
using test::problems;

const std::vector<std::string> frozen_prefixes = {"patch_embed.", "blocks.0."};

bool is_frozen(const std::string& name) {
  return name.starts_with("patch_embed.") || name.starts_with("blocks.0.");
}

/// Written out for the vit of the tests, of two blocks.
double vit_rate(const std::string& name, double decay) {
  const int steps = name.starts_with("blocks.0.")                            ? 2
                    : name.starts_with("blocks.1.")                          ? 1
                    : name.starts_with("norm.") || name.starts_with("head.") ? 0
                                                                             : 3;
  return std::pow(decay, steps);
}

std::vector<double> values_of(const Tensor& x) {
  return on_cpu(x).to(DType::float64).to_vector<double>();
}

// Every micro-batch alone, by plain backward passes over all parameters; then norms, minimum, mean
// and step in plain loops. Some thousand roundings of 1e-16.
TEST(FineTune, ClipsWhatIsTrainedAndThenScalesItsRate) {
  const double lr = 0.1, decay = 0.75;
  const Problem problem = std::move(problems(DType::float64)[2]);
  const Parameters parameters = problem.parameters();
  const Grouping groups = Grouping::runs(problem.examples(), 2);
  const auto k = static_cast<size_t>(groups.groups());
  std::vector<std::vector<double>> gradients;  // by parameter, [K, n]
  for (const Tensor& g : group_gradients(parameters, groups, problem.loss()))
    gradients.push_back(values_of(g));
  std::vector<double> norms(k, 0);
  std::vector<std::vector<double>> expected;
  for (size_t l = 0; l < parameters.size(); ++l) {
    expected.push_back(values_of(parameters[l]->value));
    if (is_frozen(parameters[l]->name)) continue;
    const size_t n = expected[l].size();
    for (size_t i = 0; i < k * n; ++i) norms[i / n] += gradients[l][i] * gradients[l][i];
  }
  for (double& norm : norms) norm = std::sqrt(norm);
  const double rho = *std::min_element(norms.begin(), norms.end());
  for (size_t l = 0; l < parameters.size(); ++l) {
    if (is_frozen(parameters[l]->name)) continue;
    const double rate = lr * vit_rate(parameters[l]->name, decay) / static_cast<double>(k);
    const size_t n = expected[l].size();
    for (size_t i = 0; i < k * n; ++i)
      expected[l][i % n] -= rate * rho / norms[i / n] * gradients[l][i];
  }

  freeze(parameters, frozen_prefixes);
  Optimizer optimizer(parameters, {.name = "sgd", .weight_decay = 0, .momentum = 0},
                      layer_rates(parameters, "vit", decay));
  ClipState state;
  const GroupedStep step =
      clipped_gradient(parameters, groups, problem.loss(), {.rule = Rule::min}, state, {.tau = 8});
  EXPECT_NEAR(step.groups.rho, rho, 1e-12 * rho);
  optimizer.step(step.update, lr);
  for (size_t l = 0; l < parameters.size(); ++l) {
    const auto found = values_of(parameters[l]->value);
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_NEAR(found[i], expected[l][i], 1e-12) << parameters[l]->name;
  }
}

TEST(FineTune, ALayerOfHalfTheRateMovesAsWithHalfTheLearningRate) {
  for (const OptimizerConfig& config :
       {OptimizerConfig{.name = "sgd", .momentum = 0}, OptimizerConfig{.name = "sgd"},
        OptimizerConfig{.name = "adam"}, OptimizerConfig{.name = "adamw"}}) {
    const auto run = [&](double rate, double lr) {
      Parameter p{"p", test::on_device(Tensor::full({5000}, 0.3))};
      Optimizer optimizer({&p}, config, {rate});
      for (int k = 1; k <= 3; ++k)
        optimizer.step({test::on_device(Tensor::full({5000}, 0.1 * k))}, lr);
      return on_cpu(p.value);
    };
    EXPECT_TRUE(test::identical(run(0.5, 0.01), run(1, 0.005))) << config.name;
    EXPECT_FALSE(test::identical(run(0.5, 0.01), run(1, 0.01))) << config.name;
  }
  Parameter p{"p", Tensor::zeros({1})};
  expect_error([&] { Optimizer({&p}, {}, {1, 1}); }, {"one rate for each of 1", "got 2"});
}

TEST(FineTune, RatesOfTheLayers) {
  for (const Problem& problem : problems(DType::float32)) {
    const Parameters parameters = problem.parameters();
    const auto rates = layer_rates(parameters, problem.name, 0.5);
    const auto rate = [&](const std::string& name) {
      for (size_t i = 0; i < rates.size(); ++i)
        if (parameters[i]->name == name) return rates[i];
      return 0.0;
    };
    EXPECT_EQ(layer_rates(parameters, problem.name, 1), std::vector<double>(rates.size(), 1.0));
    if (problem.name == "vit") {
      for (size_t i = 0; i < rates.size(); ++i)
        EXPECT_EQ(rates[i], vit_rate(parameters[i]->name, 0.5)) << parameters[i]->name;
    } else if (problem.name == "mlp") {
      EXPECT_EQ(rates, (std::vector<double>{0.25, 0.25, 0.5, 0.5, 1, 1}));
    } else if (problem.name == "convnet") {
      EXPECT_EQ(rate("conv1.weight"), 0.0625);
      EXPECT_EQ(rate("norm2.bias"), 0.5);
    }
    EXPECT_TRUE(std::is_sorted(rates.begin(), rates.end())) << problem.name;
    EXPECT_EQ(rates.back(), 1) << problem.name;
  }
}

TEST(FineTune, TheLastNormOfAMeanPoolIsOfTheHead) {
  nn::ModelConfig config{.vit = {.image = 8, .dim = 12, .depth = 2, .mean_pool = true}};
  const auto model = nn::make_model(config, 1);
  const Parameters parameters = model->parameters();
  const auto rates = layer_rates(parameters, "vit", 0.5);
  for (size_t i = 0; i < rates.size(); ++i) {
    if (parameters[i]->name == "fc_norm.weight") {
      EXPECT_EQ(rates[i], 1);
    } else if (parameters[i]->name == "cls_token") {
      EXPECT_EQ(rates[i], 0.125);
    }
  }
}

TEST(FineTune, FrozenBatchNormsKeepTheirStatistics) {
  nn::ModelConfig config{.name = "resnet20", .width = 4};
  config.vit.image = 8;
  const auto model = nn::make_model(config, 1);
  const Parameters parameters = model->parameters();
  freeze(parameters, std::vector<std::string>{"bn1.", "layer1."});
  Tape tape;
  tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
  model->forward(tape.input(test::random_normal({4, 3, 8, 8}, 2, DType::float32)));
  for (const Parameter* p : parameters) {
    if (!p->name.ends_with("running_mean")) continue;
    const bool frozen = p->name.starts_with("bn1.") || p->name.starts_with("layer1.");
    EXPECT_EQ(p->value.to_vector<float>() == std::vector<float>(p->value.numel(), 0.0f), frozen)
        << p->name;
  }
}

TEST(FineTune, BlocksOfResidualNetsAreLayers) {
  nn::ModelConfig config{.name = "resnet20", .width = 4};
  const auto model = nn::make_model(config, 1);
  const Parameters parameters = model->parameters();
  const auto rates = layer_rates(parameters, config.name, 0.5);
  const std::map<std::string, int> layers = {
      {"conv1.weight", 0},           {"bn1.bias", 1},
      {"layer1.0.conv1.weight", 2},  {"layer1.0.bn2.weight", 2},
      {"layer2.0.conv1.weight", 5},  {"layer2.0.downsample.1.bias", 5},
      {"layer3.2.conv2.weight", 10}, {"fc.weight", 11}};
  for (size_t i = 0; i < rates.size(); ++i) {
    const auto found = layers.find(parameters[i]->name);
    if (found == layers.end()) continue;
    EXPECT_EQ(rates[i], std::ldexp(1.0, found->second - 11)) << found->first;
  }
}

TEST(FineTune, PrefixesThatFreezeNothingOrAll) {
  const Problem problem = std::move(problems(DType::float32)[2]);
  const auto with = [&](Settings prefixes) { freeze(problem.parameters(), prefixes); };
  expect_error(
      [&] {
        with({"blocks.0.", "block.1"});
      },
      {"optim.freeze", "\"block.1\"", "cls_token", "head.bias"});
  expect_error([&] { with({""}); }, {"optim.freeze", "nothing is left"});
}

/// A run of `settings` in a new folder; its trainer, at the end.
std::unique_ptr<Trainer> run(const TemporaryFolder& folder, Settings settings) {
  static int runs = 0;
  settings.push_back("run.dir=" + (folder / fmt::format("run{}", ++runs)).string());
  const RunPlan plan = plan_run(test::tiny(std::move(settings)));
  auto trainer = std::make_unique<Trainer>(plan.config, plan.from);
  trainer->run();
  return trainer;
}

std::vector<std::vector<double>> weights(const Trainer& trainer) {
  std::vector<std::vector<double>> all;
  for (const Parameter* p : trainer.parameters()) all.push_back(values_of(p->value));
  return all;
}

// A step of SGD from the same start: with half the rate, half the way, but for the roundings of the
// two weights that it is the difference of, and of a step itself.
TEST(FineTune, ARunFreezesAndScales) {
  const TemporaryFolder folder;
  const Settings base = {"optim.name=sgd",     "optim.momentum=0",      "optim.weight_decay=0",
                         "train.steps=1",      "clip.rule=min",         "clip.micro_batch=4",
                         "train.eval_every=0", "schedule.name=constant"};
  const auto with = [&](Settings more) {
    more.insert(more.begin(), base.begin(), base.end());
    return weights(*run(folder, more));
  };
  const auto start = with({"optim.lr=0"}), whole = with({"optim.lr=1.0"});
  const auto half = with({"optim.lr=1.0", "optim.layer_decay=0.5"});
  const auto frozen = with({"optim.lr=1.0", "optim.freeze=[\"layers.0.\"]"});
  for (size_t l = 0; l < start.size(); ++l) {
    const double rate = l < 2 ? 0.5 : 1;
    for (size_t i = 0; i < start[l].size(); ++i) {
      const double size = std::abs(start[l][i]) + std::abs(whole[l][i]);
      ASSERT_NEAR(half[l][i] - start[l][i], rate * (whole[l][i] - start[l][i]), 3 * size * 0x1p-24);
    }
    EXPECT_EQ(frozen[l] == start[l], l < 2) << l;
    EXPECT_NE(frozen[l], whole[l]) << l;  // another norm, another update
  }
}

TEST(FineTune, ANewHeadForOtherClasses) {
  const TemporaryFolder folder;
  const std::string file = (folder / "old.safetensors").string(), from = "init.from=" + file;
  const Settings still = {"train.steps=1", "optim.lr=0", "seed=5"};
  const auto with = [&](Settings more) {
    more.insert(more.begin(), still.begin(), still.end());
    return weights(*run(folder, more));
  };
  const auto old = with({"run.save=" + file, "seed=4"}), fresh = with({});
  ASSERT_NE(old[0], fresh[0]);
  const auto tuned = with({from, "init.new_head=true"});
  for (size_t l = 0; l < old.size(); ++l) EXPECT_EQ(tuned[l], l < 2 ? old[l] : fresh[l]) << l;

  SafetensorsFile other = load_safetensors(file);
  for (NamedTensor& named : other.tensors) {
    if (named.name == "layers.1.weight") named.tensor = Tensor::zeros({7, 16});
    if (named.name == "layers.1.bias") named.tensor = Tensor::zeros({7});
  }
  save_safetensors(file, other.tensors);
  expect_error([&] { with({from}); },
               {file, "7 classes", "10", "layers.1.weight [7, 16] instead of [10, 16]",
                "layers.1.bias [7] instead of [10]", "init.new_head=true", "new layers.1"});
  EXPECT_EQ(with({from, "init.new_head=true"}), tuned);
  std::erase_if(other.tensors, [](auto& named) { return named.name.starts_with("layers.1."); });
  save_safetensors(file, other.tensors);
  EXPECT_EQ(with({from, "init.new_head=true"}), tuned);
  expect_error([&] { with({from}); }, {file, "2 missing: layers.1.weight"});
  expect_error([&] { with({"init.new_head=true"}); }, {"init.new_head", "init.from"});
}

TEST(FineTune, AResumedRunKeepsWhatIsFrozen) {
  const TemporaryFolder folder;
  const std::string dir = "run.resume=" + (folder / "r").string();
  const auto train = [&](Settings settings) {
    const RunPlan plan = plan_run(test::tiny(std::move(settings)));
    Trainer(plan.config, plan.from).run();
  };
  train({"run.dir=" + (folder / "r").string(), "train.steps=2", "optim.freeze=[\"layers.0.\"]"});
  train({dir, "train.steps=3"});
  expect_error(
      [&] {
        train({dir, "train.steps=4", "optim.freeze=[]"});
      },
      {"optim.freeze = [\"layers.0.\"]", "got []"});
}

}  // namespace
}  // namespace minnow
