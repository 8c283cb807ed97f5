#include "engine/tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/device.h"
#include "tests/expect_error.h"

namespace minnow {
namespace {

using test::on_cpu;
using test::on_device;
using test::test_device;

constexpr DType dtypes[] = {DType::float32, DType::float64, DType::bfloat16, DType::int64,
                            DType::uint8};

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(numel(shape)));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::from(values, shape);
}

TEST(Tensor, ShapeAndSize) {
  const Tensor t = Tensor::zeros({2, 3, 4}, DType::float64);
  EXPECT_EQ(t.rank(), 3);
  EXPECT_EQ(t.numel(), 24);
  EXPECT_EQ(t.nbytes(), 192);
  EXPECT_EQ(t.dim(0), 2);
  EXPECT_EQ(t.dim(-1), 4);
  EXPECT_EQ(t.to_vector<double>(), std::vector<double>(24, 0.0));
  EXPECT_EQ(to_string(t.shape()), "[2, 3, 4]");
  EXPECT_EQ(Tensor::zeros({}).numel(), 1);
  EXPECT_EQ(Tensor::zeros({3, 0, 2}).numel(), 0);
  EXPECT_FALSE(Tensor().defined());
  EXPECT_TRUE(Tensor::zeros({0}).defined());
}

TEST(Tensor, ShapesThatCannotBe) {
  const int64_t huge = int64_t{1} << 40;
  expect_error([] { Tensor::empty({2, -1}); }, {"negative", "[2, -1]"});
  expect_error([=] { Tensor::empty({huge, huge}); }, {"too large"});
  expect_error([=] { Tensor::empty({huge, 1 << 20}, DType::float64); }, {"too large"});
  expect_error([] { Tensor::from(std::vector<float>(5), {2, 3}); }, {"5 values", "[2, 3]"});
  expect_error([] { Tensor::from(std::vector<float>(6), {-2, -3}); }, {"negative"});
  expect_error([] { Tensor::zeros({2, 3}).dim(2); }, {"axis 2", "[2, 3]"});
  expect_error([] { Tensor::zeros({2, 3}).dim(-3); }, {"axis -3"});
}

TEST(Tensor, DataOfAnotherTypeIsRefused) {
  const Tensor t = Tensor::zeros({2});
  expect_error([&] { t.data<double>(); }, {"float64", "float32"});
  expect_error([&] { t.to_vector<int64_t>(); }, {"int64", "float32"});
}

TEST(Tensor, CopiesShareElements) {
  const Tensor t = counting({4});
  const Tensor copy = t;
  EXPECT_FALSE(t.unique());
  copy.data<float>()[2] = 9;
  EXPECT_EQ(t.data<float>()[2], 9);
  const Tensor deep = t.clone();
  EXPECT_TRUE(deep.unique());
  deep.data<float>()[2] = 5;
  EXPECT_EQ(t.data<float>()[2], 9);
}

TEST(Tensor, Reshape) {
  const Tensor t = counting({2, 6});
  const Tensor r = t.reshape({3, -1, 2});
  EXPECT_EQ(r.shape(), (Shape{3, 2, 2}));
  EXPECT_EQ(r.raw(), t.raw());
  EXPECT_EQ(t.reshape({-1}).shape(), (Shape{12}));
  EXPECT_EQ(Tensor::zeros({0, 4}).reshape({-1, 4}).shape(), (Shape{0, 4}));
  EXPECT_EQ(counting({1}).reshape({}).rank(), 0);
  expect_error([&] { t.reshape({5, -1}); }, {"reshape", "[2, 6]"});
  expect_error([&] { t.reshape({3, 5}); }, {"reshape", "[3, 5]"});
  expect_error([&] { t.reshape({-1, -1}); }, {"reshape", "[-1, -1]"});
  expect_error([&] { t.reshape({-2, -6}); }, {"reshape", "[-2, -6]"});
  expect_error([&] { t.reshape({-1, -12}); }, {"reshape"});
}

TEST(Tensor, SliceSharesMemory) {
  const Tensor t = on_device(counting({4, 3}));
  const Tensor rows = t.slice(1, 3);
  EXPECT_EQ(rows.shape(), (Shape{2, 3}));
  EXPECT_EQ(rows.to_vector<float>(), (std::vector<float>{3, 4, 5, 6, 7, 8}));
  rows.fill(-1);
  EXPECT_EQ(t.to_vector<float>(), (std::vector<float>{0, 1, 2, -1, -1, -1, -1, -1, -1, 9, 10, 11}));
  const Tensor last = rows.slice(1, 2).reshape({3});
  EXPECT_EQ(last.raw(), t.raw() + 6 * sizeof(float));
  EXPECT_EQ(t.slice(4, 4).numel(), 0);
  EXPECT_EQ(t.slice(1, 2).clone().to_vector<float>(), (std::vector<float>{-1, -1, -1}));
  expect_error([&] { t.slice(2, 5); }, {"slice", "[2, 5)", "[4, 3]"});
  expect_error([&] { t.slice(3, 2); }, {"slice"});
  expect_error([&] { t.slice(-1, 2); }, {"slice"});
  expect_error([] { Tensor::zeros({}).slice(0, 1); }, {"slice"});
}

TEST(Tensor, ASliceKeepsTheMemoryAlive) {
  Tensor rows;
  {
    const Tensor t = on_device(counting({4, 3}));
    rows = t.slice(2, 4);
  }
  EXPECT_EQ(rows.to_vector<float>(), (std::vector<float>{6, 7, 8, 9, 10, 11}));
}

TEST(Tensor, FillItemAndCopy) {
  for (DType dtype : dtypes) {
    const Tensor t = Tensor::full({1, 1}, 3, dtype, test_device());
    EXPECT_EQ(t.dtype(), dtype);
    EXPECT_EQ(t.device(), test_device());
    EXPECT_EQ(t.item(), 3) << to_string(dtype);
    const Tensor copy = Tensor::zeros({1, 1}, dtype, test_device());
    EXPECT_EQ(copy.item(), 0);
    copy.copy_from(t);
    EXPECT_EQ(copy.item(), 3);
  }
  expect_error([] { Tensor::zeros({2}).item(); }, {"item()", "[2]"});
  const Tensor t = Tensor::zeros({2, 3});
  expect_error([&] { t.copy_from(Tensor::zeros({3, 2})); }, {"[3, 2]", "[2, 3]"});
  expect_error([&] { t.copy_from(Tensor::zeros({2, 3}, DType::float64)); }, {"float64", "float32"});
}

TEST(Tensor, FromDeviceToDevice) {
  for (DType dtype : dtypes) {
    const Tensor here = counting({3, 2}).to(dtype), there = on_device(here);
    EXPECT_EQ(there.device(), test_device());
    EXPECT_EQ(there.dtype(), dtype);
    EXPECT_EQ(there.shape(), here.shape());
    EXPECT_EQ(there.to(test_device()).raw(), there.raw());  // where it is already
    const Tensor back = on_cpu(there.slice(1, 3));
    EXPECT_EQ(back.to(DType::float32).to_vector<float>(), (std::vector<float>{2, 3, 4, 5}));
    there.slice(0, 1).copy_from(here.slice(2, 3));
    EXPECT_EQ(on_cpu(there).to(DType::float32).to_vector<float>(),
              (std::vector<float>{4, 5, 2, 3, 4, 5}));
  }
  const Tensor nothing = on_device(Tensor::zeros({3, 0}));
  EXPECT_EQ(on_cpu(nothing).shape(), (Shape{3, 0}));
  const Tensor one = on_device(counting({4}));
  test::set_element(one, 2, 9.0f);
  EXPECT_EQ(one.to_vector<float>(), (std::vector<float>{0, 1, 9, 3}));
}

TEST(Tensor, PinnedMemoryIsTheHosts) {
  const Tensor t = Tensor::pinned({2, 3}, DType::float32);
  EXPECT_TRUE(t.device().is_cpu());
  t.copy_from(on_device(counting({2, 3})));
  EXPECT_EQ(t.data<float>()[5], 5);
  EXPECT_EQ(on_device(t).to_vector<float>(), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(Tensor, Conversion) {
  const Tensor t = on_device(Tensor::from(std::vector<double>{-2.75, 0.1, 3.0}, {3}));
  EXPECT_EQ(t.to(DType::float64).raw(), t.raw());
  EXPECT_EQ(t.to(DType::float32).to_vector<float>(), (std::vector<float>{-2.75f, 0.1f, 3.0f}));
  EXPECT_EQ(t.to(DType::int64).to_vector<int64_t>(), (std::vector<int64_t>{-2, 0, 3}));
  const Tensor bytes = on_device(Tensor::from(std::vector<uint8_t>{0, 128, 255}, {3}));
  EXPECT_EQ(bytes.to(DType::float32).to_vector<float>(), (std::vector<float>{0, 128, 255}));
  const Tensor half = t.to(DType::bfloat16);
  EXPECT_EQ(half.nbytes(), 6);
  EXPECT_EQ(half.to(DType::float32).to_vector<float>(),
            (std::vector<float>{-2.75f, 0.10009765625f, 3.0f}));
}

uint16_t rounded(uint32_t word) {
  return bfloat16(std::bit_cast<float>(word)).bits;
}

TEST(Tensor, Bfloat16RoundsToNearestEven) {
  EXPECT_EQ(rounded(0x3f800000), 0x3f80);  // 1
  EXPECT_EQ(rounded(0x3f807fff), 0x3f80);  // just below the middle
  EXPECT_EQ(rounded(0x3f808000), 0x3f80);  // a tie, down to even
  EXPECT_EQ(rounded(0x3f808001), 0x3f81);  // just above the middle
  EXPECT_EQ(rounded(0x3f818000), 0x3f82);  // a tie, up to even
  EXPECT_EQ(rounded(0xbf818000), 0xbf82);
  EXPECT_EQ(rounded(0x3fffffff), 0x4000);  // carries into the exponent
  EXPECT_EQ(rounded(0x80000000), 0x8000);  // minus zero
  EXPECT_EQ(rounded(0x00018000), 0x0002);  // subnormal numbers are kept
}

TEST(Tensor, Bfloat16OfInfinityAndNan) {
  EXPECT_EQ(rounded(0x7f800000), 0x7f80);
  EXPECT_EQ(rounded(0xff800000), 0xff80);
  EXPECT_EQ(rounded(0x7f7fffff), 0x7f80);  // the largest float32 is nearer to infinity's place
  for (uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu, 0x7fc00000u}) {
    EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(std::bit_cast<float>(nan))))) << nan;
  }
}

TEST(Tensor, EveryBfloat16SurvivesTheWayThroughFloat) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    bfloat16 value;
    value.bits = static_cast<uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    if (!std::isnan(wide)) {
      ASSERT_EQ(bfloat16(wide).bits, bits);
    }
  }
}

TEST(Tensor, DispatchKnowsTheFloatingTypes) {
  EXPECT_EQ(dispatch_float("op", Tensor::zeros({1}, DType::float32),
                           [](auto zero) { return sizeof(zero); }),
            4u);
  EXPECT_EQ(dispatch_float("op", Tensor::zeros({1}, DType::float64),
                           [](auto zero) { return sizeof(zero); }),
            8u);
  expect_error([] { dispatch_float("gelu", Tensor::zeros({1}, DType::int64), [](auto) {}); },
               {"gelu: computes in float32 or float64; got int64"});
}

TEST(Tensor, OnlyAGpuComputesInBfloat16) {
  const auto size = [](const Tensor& x) {
    return dispatch_float("gelu", x, [](auto zero) { return sizeof(zero); });
  };
  const Tensor t = Tensor::zeros({1}, DType::bfloat16);
  expect_error([&] { size(t); }, {"gelu: computes in float32 or float64; got bfloat16"});
  if (test_device().is_cuda()) {
    EXPECT_EQ(size(on_device(t)), 2u);
  }
  expect_error([&] { dispatch_wide("sum", on_device(t), [](auto) {}); }, {"sum", "bfloat16"});
}

}  // namespace
}  // namespace minnow
