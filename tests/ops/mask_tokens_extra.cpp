#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops.h"
#include "tests/expect_error.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

const std::vector<int64_t> lengths = {2, 0, 3};

TEST(MaskTokens, NothingOfThePaddingGetsThroughEitherWay) {
  Tensor x = Tensor::full({3, 3, 2}, NAN, DType::float32), g = x.clone();
  for (int64_t b = 0; b < 3; ++b) {
    for (int64_t i = 0; i < lengths[b] * 2; ++i) {
      x.data<float>()[b * 6 + i] = 1.5f;
      g.data<float>()[b * 6 + i] = 2.5f;
    }
  }
  Tape tape;
  const Var leaf = tape.leaf(on_device(x));
  const Var y = mask_tokens(leaf, on_device(Tensor::from(lengths, {3})));
  SumSink sink;
  tape.backward(y, on_device(g), sink);
  const auto forward = on_cpu(y.value()).to_vector<float>();
  const auto backward = on_cpu(tape.gradient(leaf)).to_vector<float>();
  for (int64_t i = 0; i < 18; ++i) {
    const bool live = i % 6 / 2 < lengths[i / 6];
    EXPECT_EQ(forward[i], live ? 1.5f : 0.0f) << i;
    EXPECT_EQ(backward[i], live ? 2.5f : 0.0f) << i;
  }
}

TEST(MaskTokens, WindowCountsAreThoseOfAConvolution) {
  const std::vector<int64_t> from = {0, 2, 3, 4, 5, 6, 7, 100};
  const Tensor counts = window_counts(on_device(Tensor::from(from, {8})), 3, 2);
  EXPECT_EQ(on_cpu(counts).to_vector<int64_t>(), (std::vector<int64_t>{0, 0, 1, 1, 2, 2, 3, 49}));
}

TEST(MaskTokens, WindowCountsRefuseWhatIsNone) {
  const Tensor lengths = Tensor::from(std::vector<int64_t>{3}, {1});
  expect_error([&] { window_counts(lengths.to(DType::float64), 3, 2); },
               {"window_counts: lengths must be int64; got float64"});
  expect_error([&] { window_counts(lengths, 0, 2); },
               {"window_counts: kernel and stride must be positive; got 0, 2"});
  expect_error([&] { window_counts(lengths, 3, 0); },
               {"window_counts: kernel and stride must be positive; got 3, 0"});
}

}  // namespace
}  // namespace minnow::test
