#include <gtest/gtest.h>

#include "nn/models.h"
#include "tests/expect_error.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

/// One rule that a configuration breaks, and what the message says.
template <class Config>
struct Broken {
  void (*change)(Config&);
  std::string message;
};

TEST(ModelConfigs, ConformerRefusesWhatDoesNotFit) {
  using C = nn::ConformerConfig;
  const Broken<C> cases[] = {
      {[](C& c) { c.features = 6; }, "model.features: at least 7, for two convolutions; got 6"},
      {[](C& c) { c.classes = 1; }, "model.classes: at least two; got 1"},
      {[](C& c) { c.heads = 3; }, "model.heads: must divide model.dim; got 3 and 4"},
      {[](C& c) { c.depth = 0; }, "model.depth: at least one layer; got 0"},
      {[](C& c) { c.ffn_ratio = 0; }, "model.mlp_ratio: must be positive; got 0"},
      {[](C& c) { c.conv_kernel = 4; }, "model.conv_kernel: must be odd and positive; got 4"},
      {[](C& c) { c.conv_kernel = -1; }, "model.conv_kernel: must be odd and positive; got -1"},
      {[](C& c) { c.dropout = 1; }, "model.dropout: must be in [0, 1); got 1"},
      {[](C& c) { c.conv_norm = "instance"; },
       "model.conv_norm: \"layer\", \"group\" or \"batch\"; got \"instance\""},
      {[](C& c) { c.positions = "learned"; },
       "model.positions: \"sinusoidal\" or \"none\"; got \"learned\""},
      {[](C& c) { c.subsampling = -1; }, "model.subsampling: must not be negative; got -1"},
  };
  const C fits{.features = 7, .dim = 4, .depth = 1, .heads = 2};
  EXPECT_NO_THROW(nn::Conformer(fits, nn::Init(1)));
  for (const auto& [change, message] : cases) {
    C config = fits;
    change(config);
    expect_error([&] { nn::Conformer(config, nn::Init(1)); }, {message});
  }
}

TEST(ModelConfigs, TextEncoderRefusesWhatDoesNotFit) {
  using C = nn::TextConfig;
  const Broken<C> cases[] = {
      {[](C& c) { c.vocabulary = 1; }, "text: the vocabulary needs padding and a token; got 1"},
      {[](C& c) { c.max_tokens = 0; }, "text: max_tokens must be positive; got 0"},
      {[](C& c) { c.classes = 1; }, "text: at least two classes; got 1"},
      {[](C& c) { c.heads = 3; }, "model.heads: must divide model.dim; got 3 and 4"},
      {[](C& c) { c.depth = 0; }, "model.depth: at least one block; got 0"},
      {[](C& c) { c.mlp_ratio = 0; }, "model.mlp_ratio: must be positive; got 0"},
      {[](C& c) { c.dropout = 1; }, "model.dropout: must be in [0, 1); got 1"},
      {[](C& c) { c.dropout = -0.5; }, "model.dropout: must be in [0, 1); got -0.5"},
  };
  const C fits{.vocabulary = 5, .max_tokens = 6, .dim = 4, .depth = 1, .heads = 2};
  EXPECT_NO_THROW(nn::TextEncoder(fits, nn::Init(1)));
  for (const auto& [change, message] : cases) {
    C config = fits;
    change(config);
    expect_error([&] { nn::TextEncoder(config, nn::Init(1)); }, {message});
  }
}

TEST(ModelConfigs, AHiddenLayerHasAWidth) {
  EXPECT_EQ(nn::hidden_width(4, 0.01), 1);
  EXPECT_EQ(nn::hidden_width(6, 2.4), 14);
}

/// Before anything is computed from them.
TEST(ModelConfigs, ConformerChecksItsLengths) {
  const nn::Conformer model({.features = 7, .dim = 4, .depth = 1, .heads = 2}, nn::Init(1));
  Tape tape;
  const Var x = tape.input(random_normal({2, 9, 7}, 1, DType::float32));
  const auto forward = [&](const Tensor& lengths) { return [&] { model.forward(x, lengths); }; };
  const Tensor long_one = Tensor::from(std::vector<int64_t>{9, 10}, {2});
  const Tensor floats = Tensor::full({2}, 9, DType::float32);
  expect_error(forward(long_one), {"lengths must lie in [0, T] with T = 9; got 10 for example 1"});
  expect_error(forward(floats), {"lengths must be int64 [B] with B = 2; got float32 [2]"});
}

}  // namespace
}  // namespace minnow::test
