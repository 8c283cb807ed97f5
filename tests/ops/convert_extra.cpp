#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "kernels/convert.h"
#include "kernels/launch.h"
#include "tests/op_run.h"

namespace minnow::test {
namespace {

/// What the contract says of one element.
template <class To>
double converted(double x) {
  if constexpr (std::is_integral_v<To>) return std::trunc(x);
  if constexpr (std::is_same_v<To, double>) return x;
  const auto single = static_cast<float>(x);
  if constexpr (std::is_same_v<To, float>) return single;
  return static_cast<float>(bfloat16(single));
}

/// More elements than one thread takes: multiples of 1/4 from 0 to 255.
template <class From, class To>
void check_pair(Device device) {
  constexpr int64_t n = 20001;
  std::vector<From> values;
  for (int64_t i = 0; i < n; ++i) {
    values.push_back(narrow<From>(static_cast<Wide<From>>(static_cast<double>(i % 1021) / 4)));
  }
  const Tensor x = Tensor::from(values, {n}).to(device);
  const Tensor y = Tensor::empty({n}, dtype_of<To>, device);
  MINNOW_ON(device, convert<From, To>)(n, x.data<From>(), y.data<To>());
  const std::vector<To> got = y.to_vector<To>();
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(static_cast<double>(widen(got[i])),
              converted<To>(static_cast<double>(widen(values[i]))))
        << "element " << i;
  }
}

TEST(Convert, EveryTwoTypes) {
  for (const Device device : {Device::cpu(), test_device()}) {
#define MINNOW_CHECK(From, To)               \
  {                                          \
    SCOPED_TRACE(#From " to " #To);          \
    check_pair<From, To>(device);            \
    if (testing::Test::HasFailure()) return; \
  }
    MINNOW_CONVERSIONS(MINNOW_CHECK)
#undef MINNOW_CHECK
  }
}

TEST(Convert, ToBfloat16AndBackIsARounding) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  // The second and the third lie half way between two neighbours: the even one is taken.
  const std::vector<float> values = {-2.75f,    1 + 0x1p-8f, 1 + 0x3p-8f, 0.1f,
                                     HUGE_VALF, 3.4e38f,     -0.0f};
  const auto n = std::ssize(values);
  Tape tape(Tape::Mode::evaluate);
  const Var x = tape.input(on_device(Tensor::from(values, {n, 1})));
  const Var y = convert(x, DType::bfloat16);
  EXPECT_EQ(y.dtype(), DType::bfloat16);
  EXPECT_EQ(y.device(), test_device());
  const auto back = convert(y, DType::float64).value().to_vector<double>();
  EXPECT_EQ(back,
            (std::vector<double>{-2.75, 1, 1 + 0x1p-6, 0.10009765625, infinity, infinity, -0.0}));
  EXPECT_TRUE(std::signbit(back.back()));
  const Var nan = tape.input(on_device(Tensor::from(std::vector<float>{std::nanf("")}, {1})));
  EXPECT_TRUE(std::isnan(convert(nan, DType::bfloat16).value().item()));
}

TEST(Convert, TheGradientIsConvertedBack) {
  for (const auto& [from, to] : {std::pair{DType::float32, DType::bfloat16},
                                 {DType::bfloat16, DType::float32},
                                 {DType::float64, DType::float32},
                                 {DType::float32, DType::float64}}) {
    SCOPED_TRACE(fmt::format("{} to {}", to_string(from), to_string(to)));
    Tape tape;
    const Var x = tape.leaf(on_device(random_normal({3, 4}, 1).to(from)));
    const Var y = convert(x, to);
    const Tensor expected = x.value().to(to);
    EXPECT_EQ(y.value().to(DType::float64).to_vector<double>(),
              expected.to(DType::float64).to_vector<double>());
    const Tensor seed = on_device(random_normal({3, 4}, 2).to(to));
    SumSink sink;
    tape.backward(y, seed, sink);
    EXPECT_EQ(tape.gradient(x).dtype(), from);
    EXPECT_EQ(tape.gradient(x).to(DType::float64).to_vector<double>(),
              seed.to(from).to(DType::float64).to_vector<double>());
  }
}

TEST(Convert, ToItsOwnTypeIsNothing) {
  Tape tape;
  const Var x = tape.leaf(on_device(random_normal({3, 4}, 1, DType::float32)));
  const Var y = convert(x, DType::float32);
  EXPECT_EQ(y.value().raw(), x.value().raw());
  EXPECT_EQ(y.slot().index, x.slot().index);
}

}  // namespace
}  // namespace minnow::test
