#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/op_run.h"

namespace minnow::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> losses(const Tensor& logits, const Tensor& targets, double smoothing = 0) {
  Tape tape(Tape::Mode::evaluate);
  return cross_entropy(tape.input(on_device(logits)), targets, smoothing)
      .value()
      .to_vector<float>();
}

TEST(CrossEntropy, NanLogitSpoilsItsExampleAndNoOther) {
  // The NaN stands once at the label, once beside it.
  const Tensor x = Tensor::from(std::vector<float>{nan, 1, 1, nan, 0, 0}, {3, 2});
  const Tensor labels = Tensor::from(std::vector<int64_t>{0, 0, 1}, {3});
  const Tensor one_hot = Tensor::from(std::vector<float>{1, 0, 1, 0, 0, 1}, {3, 2});
  for (const Tensor& targets : {labels, one_hot}) {
    for (const double smoothing : {0.0, 0.1}) {
      const auto loss = losses(x, targets, smoothing);
      EXPECT_TRUE(std::isnan(loss[0]));
      EXPECT_TRUE(std::isnan(loss[1]));
      EXPECT_NEAR(loss[2], std::log(2.0), 1e-6);
    }
  }
}

TEST(CrossEntropy, ClassesOfNoWeightMayBeRuledOut) {
  const Tensor x = Tensor::from(std::vector<float>{0, -infinity, 0}, {1, 3});
  const Tensor label = Tensor::from(std::vector<int64_t>{2}, {1});
  const Tensor soft = Tensor::from(std::vector<float>{0.5, 0, 0.5}, {1, 3});
  // log 2 in float32 after one sum and one logarithm.
  EXPECT_NEAR(losses(x, label)[0], std::log(2.0), 2e-7);
  EXPECT_NEAR(losses(x, soft)[0], std::log(2.0), 2e-7);
  EXPECT_EQ(losses(x, label, 0.1)[0], infinity);
}

TEST(CrossEntropy, LargeLogitsKeepTheirDigits) {
  // Beside 2^24 a float32 has no fraction left: only differences of logits may enter.
  const Tensor x = Tensor::from(std::vector<float>{16777216, 16777214}, {1, 2});
  const Tensor label = Tensor::from(std::vector<int64_t>{1}, {1});
  const double expected = 2 + std::log1p(std::exp(-2.0));
  EXPECT_NEAR(losses(x, label)[0], expected, 4 * std::numeric_limits<float>::epsilon() * expected);
}

TEST(CrossEntropy, ConfidentExampleHasNoGradient) {
  Tape tape;
  const Var x = tape.leaf(on_device(Tensor::from(std::vector<float>{200, 0, -200}, {1, 3})));
  const Var loss = cross_entropy(x, Tensor::from(std::vector<int64_t>{0}, {1}));
  EXPECT_EQ(loss.value().item(), 0);
  SumSink sink;
  tape.backward(loss, on_device(Tensor::full({1}, 1)), sink);
  for (float g : tape.gradient(x).to_vector<float>()) EXPECT_EQ(g, 0);
}

}  // namespace
}  // namespace minnow::test
