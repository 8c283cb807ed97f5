#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>

#include "engine/files.h"
#include "engine/grouped_backward.h"
#include "nn/models.h"
#include "tests/device.h"
#include "tests/golden.h"
#include "tests/paths.h"
#include "tests/quick.h"

/// Whole models against PyTorch: logits, losses, micro-batch norms and clipped updates, by every
/// strategy.
namespace minnow::test {
namespace {

struct GoldenModel {
  std::string file;
  std::unique_ptr<nn::Model> (*make)();
  std::vector<int64_t> micro_batches;
  bool batchnorm = false;  ///< no wave splits a micro-batch
};

void PrintTo(const GoldenModel& model, std::ostream* out) {
  *out << model.file;
}

std::unique_ptr<nn::Model> make_vit() {
  nn::VitConfig config;
  config.image = 8;
  config.patch = 4;
  config.classes = 5;
  config.dim = 16;
  config.depth = 2;
  config.heads = 2;
  return std::make_unique<nn::Vit>(config, nn::Init(1));
}

std::unique_ptr<nn::Model> make_vit_options() {
  nn::VitConfig config;
  config.image = 8;
  config.patch = 4;
  config.classes = 4;
  config.dim = 16;
  config.depth = 2;
  config.heads = 2;
  config.qkv_bias = false;
  config.layer_scale = 0.2;
  config.mean_pool = true;
  return std::make_unique<nn::Vit>(config, nn::Init(1));
}

std::unique_ptr<nn::Model> make_convnet() {
  return std::make_unique<nn::ConvNet>(3, 8, 2, 4, nn::Init(1));
}

std::unique_ptr<nn::Model> make_resnet_basic() {
  nn::ResNetConfig config{.classes = 4, .blocks = {1, 2}, .width = 6};
  return std::make_unique<nn::ResNet>(config, nn::Init(1));
}

std::unique_ptr<nn::Model> make_resnet_bottleneck() {
  nn::ResNetConfig config{
      .classes = 4, .large_stem = false, .bottleneck = true, .blocks = {1, 2}, .width = 3};
  return std::make_unique<nn::ResNet>(config, nn::Init(1));
}

std::unique_ptr<nn::Model> make_wide_resnet() {
  nn::WideResNetConfig config{
      .classes = 4, .depth = 10, .widen = 1, .norm = {.batch = false, .groups = 8}};
  return std::make_unique<nn::WideResNet>(config, nn::Init(1));
}

std::unique_ptr<nn::Model> make_convnext() {
  nn::ConvNextConfig config{.classes = 4, .blocks = {1, 1, 2, 1}, .width = 4, .layer_scale = 0.2};
  return std::make_unique<nn::ConvNext>(config, nn::Init(1));
}

/// The promise of the engine in float32, 168 roundings. The longest sums of these models are
/// longer, 576 taps of the wide residual net's filters and 5 * 81 positions in a weight's gradient,
/// but their roundings fall both ways. The same number of roundings in float64; what the file holds
/// in float32 was itself rounded once.
constexpr double promise = 1e-5;
double tolerance(DType dtype) {
  return dtype == DType::float32 ? promise : promise * 0x1p-29;
}
double update_tolerance(DType dtype) {
  return tolerance(dtype) + 0x1p-24;
}

/// The model with the weights of the file, on its batch.
class OnGolden {
 public:
  OnGolden(const GoldenModel& model, DType dtype) : golden(model.file), model_(model.make()) {
    parameters = model_->parameters();
    for (Parameter* p : parameters) p->value = on_device(golden.at("param." + p->name).to(dtype));
    input_ = on_device(golden.at("input").to(dtype));
    labels_ = golden.at("labels");
  }

  int64_t examples() const { return labels_.dim(0); }

  Tensor logits() const {
    Tape tape(Tape::Mode::evaluate);
    return model_->forward(tape.input(input_)).value();
  }

  /// No model here has a random layer; BatchNorm takes its statistics from the batch in training.
  LossFn loss(bool training = true) const {
    return [this, training](Tape& tape, int64_t begin, int64_t end) {
      tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = training});
      return cross_entropy(model_->forward(tape.input(input_.slice(begin, end))),
                           labels_.slice(begin, end));
    };
  }

  GroupedStep step(int64_t micro_batch, const ClipRule& rule, const GroupedOptions& options) {
    ClipState state;
    return clipped_gradient(parameters, Grouping::runs(examples(), micro_batch), loss(), rule,
                            state, options);
  }

  /// The largest error of any parameter's update, relative to the largest element of that
  /// parameter's update.
  void expect_update(const GroupedStep& step, const std::string& prefix, double limit) const {
    ASSERT_EQ(step.update.size(), parameters.size());
    for (size_t l = 0; l < parameters.size(); ++l) {
      if (!parameters[l]->trainable) continue;
      const std::string name = prefix + parameters[l]->name;
      EXPECT_LE(relative_error(step.update[l], golden.at(name)), limit) << name;
    }
  }

  /// The running statistics after a step; a model without has none in its file.
  void expect_statistics(const std::string& prefix, double limit) const {
    for (const Parameter* p : parameters) {
      if (p->trainable) continue;
      EXPECT_LE(relative_error(p->value, golden.at(prefix + p->name)), limit) << p->name;
    }
  }

  Golden golden;
  Parameters parameters;

 private:
  std::unique_ptr<nn::Model> model_;
  Tensor input_, labels_;
};

class GoldenModels : public testing::TestWithParam<GoldenModel> {};

INSTANTIATE_TEST_SUITE_P(
    All, GoldenModels,
    testing::Values(GoldenModel{"vit_tiny_test", make_vit, {1, 2, 3, 6, 7}},
                    GoldenModel{"convnet_test", make_convnet, {1, 2, 4, 5}},
                    GoldenModel{"vit_options_test", make_vit_options, {1, 2, 5}},
                    GoldenModel{"resnet_basic_test", make_resnet_basic, {1, 2, 4, 5}, true},
                    GoldenModel{
                        "resnet_bottleneck_test", make_resnet_bottleneck, {1, 2, 4, 5}, true},
                    GoldenModel{"wide_resnet_test", make_wide_resnet, {2, 4}},
                    GoldenModel{"convnext_test", make_convnext, {1, 2, 5}}),
    [](const auto& info) { return info.param.file; });

TEST_P(GoldenModels, ParametersHaveTheNamesAndShapesOfPyTorch) {
  const Golden golden(GetParam().file);
  std::map<std::string, Shape> expected, actual;
  for (const auto& [name, tensor] : golden.file().tensors) {
    const std::string prefix = "param.";
    if (name.starts_with(prefix)) expected[name.substr(prefix.size())] = tensor.shape();
  }
  const auto model = GetParam().make();
  for (const Parameter* p : model->parameters()) actual[p->name] = p->value.shape();
  EXPECT_EQ(actual, expected);
}

TEST(GoldenNames, FullSizeModelsHaveTheTensorsOfTorchvisionAndTimm) {
  std::map<std::string, std::string> expected;
  std::istringstream lines(read_text_file(source_path("tests/golden/model_tensors.txt")));
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    expected[line.substr(0, space)] += line.substr(space + 1) + "\n";
  }
  nn::ModelConfig large;
  large.vit.image = 224;
  large.vit.classes = 1000;
  const auto with = [&](const std::string& name) {
    nn::ModelConfig config = large;
    config.name = name;
    config.vit.patch = name == "vit" ? 16 : 4;
    return config;
  };
  const std::map<std::string, nn::ModelConfig> models = {{"resnet18", with("resnet18")},
                                                         {"resnet50", with("resnet50")},
                                                         {"deit_tiny_patch16_224", with("vit")},
                                                         {"convnext_tiny", with("convnext_tiny")}};
  ASSERT_EQ(expected.size(), models.size());
  for (const auto& [name, config] : models) {
    std::string got;
    const auto model = nn::make_model(config, 1);
    for (const Parameter* p : model->parameters()) {
      got += fmt::format("{} {}\n", p->name, fmt::join(p->value.shape(), ","));
    }
    EXPECT_EQ(got, expected.at(name)) << name;
  }
}

TEST_P(GoldenModels, LogitsAndLosses) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    SCOPED_TRACE(to_string(dtype));
    OnGolden run(GetParam(), dtype);
    EXPECT_LE(relative_error(run.logits(), run.golden.at("logits64")), tolerance(dtype));
    Tape tape(Tape::Mode::evaluate);
    const Tensor losses = run.loss(false)(tape, 0, run.examples()).value();
    EXPECT_LE(relative_error(losses, run.golden.at("losses64")), tolerance(dtype));
  }
}

TEST_P(GoldenModels, MicroBatchNormsAndClippedUpdates) {
  const ClipRule rule{.rule = Rule::min};
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::string& strategy : golden_strategies()) {
      for (const int64_t wave : golden_waves()) {
        for (const int64_t b : GetParam().micro_batches) {
          if (GetParam().batchnorm && wave > 0 && wave < b) continue;
          SCOPED_TRACE(fmt::format("{}, {}, wave {}, b = {}", to_string(dtype), strategy, wave, b));
          OnGolden run(GetParam(), dtype);
          GroupedOptions options;
          options.strategy = strategy_from(strategy);
          options.wave = wave;
          const GroupedStep step = run.step(b, rule, options);
          const Tensor expected = run.golden.at(fmt::format("b{}.norms", b));
          const Tensor norms = Tensor::from(step.groups.norms, {expected.dim(0)});
          EXPECT_LE(relative_error(norms, expected), tolerance(dtype));
          const std::string own = fmt::format("b{}.losses", b);
          EXPECT_LE(
              relative_error(step.losses, run.golden.at(run.golden.has(own) ? own : "losses64")),
              tolerance(dtype));
          run.expect_statistics(fmt::format("b{}.statistics.", b), tolerance(dtype));
          run.expect_update(step, fmt::format("b{}.update.", b), update_tolerance(dtype));
        }
      }
    }
  }
}

TEST_P(GoldenModels, WithoutARuleTheUpdateIsThePlainGradient) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    OnGolden run(GetParam(), dtype);
    const GroupedStep step = run.step(2, ClipRule{.rule = Rule::none}, {});
    run.expect_update(step, "b2.none.update.", update_tolerance(dtype));
  }
}

TEST_P(GoldenModels, TheSumIsTheMeanTimesTheNumberOfGroups) {
  OnGolden run(GetParam(), DType::float64);
  ClipRule rule{.rule = Rule::min};
  rule.reduction = Reduction::sum;
  GroupedStep step = run.step(2, rule, {});
  const auto groups = static_cast<double>(step.groups.norms.size());
  for (Tensor& update : step.update) {
    update = on_cpu(update);
    for (int64_t i = 0; i < update.numel(); ++i) update.data<double>()[i] /= groups;
  }
  run.expect_update(step, "b2.update.", update_tolerance(DType::float64));
}

}  // namespace
}  // namespace minnow::test
