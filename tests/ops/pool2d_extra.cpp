#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/op_case.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

TEST(MaxPool, FirstOfEqualsTakesTheGradientAndNanWins) {
  const float nan = std::nanf(""), low = -std::numeric_limits<float>::infinity();
  const std::vector<float> pixels = {2, 2, nan, 3, 2, 2, 4, 1, low, low, 0, 0, low, low, 0, 0};
  Tape tape;
  const Var x = tape.leaf(on_device(Tensor::from(pixels, {1, 1, 4, 4})));
  const Var y = max_pool2d(x);
  const auto values = y.value().to_vector<float>();
  EXPECT_EQ(values[0], 2);
  EXPECT_TRUE(std::isnan(values[1]));
  EXPECT_EQ(values[2], low);
  EXPECT_EQ(values[3], 0);
  SumSink sink;
  tape.backward(y, on_device(Tensor::full({1, 1, 2, 2}, 1)), sink);
  EXPECT_EQ(tape.gradient(x).to_vector<float>(),
            (std::vector<float>{1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace minnow::test
