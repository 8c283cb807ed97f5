#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/files.h"
#include "engine/grouped_backward.h"
#include "nn/conformer.h"
#include "tests/device.h"
#include "tests/golden.h"
#include "tests/paths.h"
#include "tests/quick.h"

/// The Conformer against torchaudio's layers with the padding masked.
namespace minnow::test {
namespace {

/// As in golden_models.cpp: the promise of the engine in float32, and the same number of roundings
/// in float64.
constexpr double promise = 1e-5;
double tolerance(DType dtype) {
  return dtype == DType::float32 ? promise : promise * 0x1p-29;
}

class OnGolden {
 public:
  OnGolden(const std::string& name, DType dtype)
      : golden("conformer_" + name + "_test"),
        share(name == "middle" ? 0.3 : 0),
        model({.features = 15,
               .classes = 6,
               .dim = 16,
               .depth = 2,
               .heads = 2,
               .ffn_ratio = 2,
               .conv_kernel = 7,
               .conv_norm = name == "middle" ? "layer" : name,
               .subsampling = 4},
              nn::Init(1)),
        parameters(model.parameters()) {
    for (Parameter* p : parameters) p->value = on_device(golden.at("param." + p->name).to(dtype));
    input = on_device(golden.at("input").to(dtype));
    lengths = on_device(golden.at("lengths"));
    output_lengths = on_device(golden.at("output_lengths"));
    targets = on_device(golden.at("targets"));
    target_lengths = on_device(golden.at("target_lengths"));
  }

  LossFn loss() const {
    return [this](Tape& tape, int64_t begin, int64_t end) {
      tape.set_random({.seed = 1, .step = 0, .example_ids = {}, .training = true});
      const Var x = tape.input(input.slice(begin, end));
      const auto ctc = [&](const Var& logits) {
        return ctc_loss(logits, output_lengths.slice(begin, end), targets.slice(begin, end),
                        target_lengths.slice(begin, end));
      };
      if (share == 0) return ctc(model.forward(x, lengths.slice(begin, end)));
      const auto [last, middle] = model.forward_with_middle(x, lengths.slice(begin, end));
      return add(scale(ctc(last), 1 - share), scale(ctc(middle), share));
    };
  }

  Golden golden;
  double share;  // of the loss of the middle layer
  nn::Conformer model;
  Parameters parameters;
  Tensor input, lengths, output_lengths, targets, target_lengths;
};

class GoldenConformer : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, GoldenConformer, testing::Values("layer", "group", "batch", "middle"),
                         [](const auto& info) { return info.param; });

TEST_P(GoldenConformer, LogitsOfARaggedBatch) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    SCOPED_TRACE(to_string(dtype));
    const OnGolden run(GetParam(), dtype);
    Tape tape(Tape::Mode::evaluate);
    const Var logits = run.model.forward(tape.input(run.input), run.lengths);
    const auto ends = run.golden.at("output_lengths").to_vector<int64_t>();
    const auto lengths = run.golden.at("lengths").to_vector<int64_t>();
    for (size_t b = 0; b < ends.size(); ++b) {
      EXPECT_EQ(run.model.output_length(lengths[b]), ends[b]);
    }
    const Tensor live = mask_tokens(logits, run.output_lengths).value();
    EXPECT_LE(relative_error(live, run.golden.at("logits64")), tolerance(dtype));
  }
}

/// One step of encoder, head and CTC: micro-batches that PyTorch ran one by one.
TEST_P(GoldenConformer, MicroBatchNormsAndClippedUpdates) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::string& strategy : golden_strategies()) {
      for (const int64_t wave : golden_waves()) {
        for (const int64_t b : {1, 2, 4}) {
          const bool batch = GetParam() == "batch";
          if (batch && wave > 0 && wave < b) continue;  // a micro-batch needs all its examples
          SCOPED_TRACE(fmt::format("{}, {}, wave {}, b = {}", to_string(dtype), strategy, wave, b));
          const OnGolden run(GetParam(), dtype);
          ClipState state;
          GroupedOptions options;
          options.strategy = strategy_from(strategy);
          options.wave = wave;
          const GroupedStep step =
              clipped_gradient(run.parameters, Grouping::runs(run.input.dim(0), b), run.loss(),
                               ClipRule{.rule = Rule::min}, state, options);
          const Tensor losses =
              run.golden.at(batch ? fmt::format("b{}.losses64", b) : std::string("losses64"));
          EXPECT_LE(relative_error(step.losses, losses), tolerance(dtype));
          const Tensor norms = run.golden.at(fmt::format("b{}.norms", b));
          EXPECT_LE(relative_error(Tensor::from(step.groups.norms, norms.shape()), norms),
                    tolerance(dtype));
          for (size_t l = 0; l < run.parameters.size(); ++l) {
            if (!run.parameters[l]->trainable) continue;
            // BatchNorm takes off again what the bias before it adds: that has no gradient, and
            // both have roundings in its place.
            if (batch && run.parameters[l]->name.ends_with("sequential.2.bias")) continue;
            const std::string name = fmt::format("b{}.update.{}", b, run.parameters[l]->name);
            EXPECT_LE(relative_error(step.update[l], run.golden.at(name)),
                      tolerance(dtype) + 0x1p-24)  // the file's own rounding
                << name;
          }
        }
      }
    }
  }
}

TEST(GoldenConformerNames, FullSizeLayersHaveTheTensorsOfTorchaudio) {
  nn::Conformer model({.dim = 144, .depth = 4, .heads = 4, .conv_kernel = 31}, nn::Init(1));
  std::string got;
  for (const Parameter* p : model.parameters()) {
    if (!p->name.starts_with("conformer_layers.")) continue;
    got += fmt::format("{} {}\n", p->name, fmt::join(p->value.shape(), ","));
  }
  EXPECT_EQ(got, read_text_file(source_path("tests/golden/conformer_tensors.txt")));
}

}  // namespace
}  // namespace minnow::test
