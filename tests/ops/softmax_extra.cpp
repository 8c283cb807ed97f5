#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/op_run.h"

namespace minnow::test {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr double eps32 = std::numeric_limits<float>::epsilon();

Tensor evaluate(Var (*op)(const Var&), const std::vector<float>& row) {
  Tape tape(Tape::Mode::evaluate);
  return op(tape.input(on_device(Tensor::from(row, {1, std::ssize(row)})))).value();
}

TEST(Softmax, MaskedLogarithmStaysMinusInfinity) {
  const auto y = evaluate(log_softmax, {1, -infinity, 2}).to_vector<float>();
  const double sum = std::log(std::exp(1.0) + std::exp(2.0));
  EXPECT_NEAR(y[0], 1 - sum, 8 * eps32);
  EXPECT_EQ(y[1], -infinity);
  EXPECT_NEAR(y[2], 2 - sum, 8 * eps32);
}

TEST(Softmax, MaskedElementsLeaveTheOtherGradientsFinite) {
  Tape tape;
  const Var x = tape.leaf(on_device(Tensor::from(std::vector<double>{1, -infinity, 2}, {1, 3})));
  SumSink sink;
  // Only the gradient of element 0 is asked for: e_0 - softmax.
  tape.backward(log_softmax(x), on_device(Tensor::from(std::vector<double>{1, 0, 0}, {1, 3})),
                sink);
  const auto g = tape.gradient(x).to_vector<double>();
  const double p = 1 / (1 + std::exp(1.0));
  EXPECT_NEAR(g[0], 1 - p, 1e-15);
  EXPECT_EQ(g[1], 0);
  EXPECT_NEAR(g[2], -(1 - p), 1e-15);
}

// Without its shift by the largest element e^x overflows from 89 on, and underflows to 0 / 0 below
// -88.
TEST(Softmax, LargeElementsNeitherOverflowNorVanish) {
  for (const float level : {1e4f, -1e4f, 3e38f}) {
    const auto y = evaluate(softmax, {level, level}).to_vector<float>();
    const auto log = evaluate(log_softmax, {level, level}).to_vector<float>();
    EXPECT_EQ(y[0], 0.5f) << level;
    EXPECT_NEAR(log[0], std::log(0.5), eps32) << level;
  }
}

TEST(Softmax, NanSpoilsItsRowAndNoOther) {
  for (const auto op : {softmax, log_softmax}) {
    Tape tape(Tape::Mode::evaluate);
    const std::vector<float> rows = {1, nan, 2, 0, 0, 0};
    const Tensor x = on_device(Tensor::from(rows, {2, 3}));
    const auto y = op(tape.input(x)).value().to_vector<float>();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(y[i])) << i;
    for (int i = 3; i < 6; ++i) EXPECT_FALSE(std::isnan(y[i])) << i;
  }
}

}  // namespace
}  // namespace minnow::test
