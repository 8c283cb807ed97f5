#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/files.h"
#include "nn/conformer.h"
#include "tests/device.h"
#include "tests/golden.h"
#include "tests/paths.h"

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
  OnGolden(const std::string& norm, DType dtype)
      : golden("conformer_" + norm + "_test"),
        model({.features = 15,
               .classes = 6,
               .dim = 16,
               .depth = 2,
               .heads = 2,
               .ffn_ratio = 2,
               .conv_kernel = 7,
               .conv_norm = norm,
               .subsampling = 4},
              nn::Init(1)),
        parameters(model.parameters()) {
    for (Parameter* p : parameters) p->value = on_device(golden.at("param." + p->name).to(dtype));
    input = on_device(golden.at("input").to(dtype));
    lengths = on_device(golden.at("lengths"));
  }

  Golden golden;
  nn::Conformer model;
  Parameters parameters;
  Tensor input, lengths;
};

class GoldenConformer : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, GoldenConformer, testing::Values("layer"),
                         [](const auto& info) { return info.param; });

TEST_P(GoldenConformer, LogitsOfARaggedBatch) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    SCOPED_TRACE(to_string(dtype));
    const OnGolden run(GetParam(), dtype);
    Tape tape(Tape::Mode::evaluate);
    const Var logits = run.model.forward(tape.input(run.input), run.lengths);
    const Tensor ends = run.golden.at("output_lengths");
    for (int64_t b = 0; b < ends.numel(); ++b) {
      const int64_t length = on_cpu(run.lengths).data<int64_t>()[b];
      EXPECT_EQ(run.model.output_length(length), ends.data<int64_t>()[b]);
    }
    const Tensor live = mask_tokens(logits, on_device(ends)).value();
    EXPECT_LE(relative_error(live, run.golden.at("logits64")), tolerance(dtype));
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
