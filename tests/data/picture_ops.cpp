#include "data/picture_ops.h"

#include <gtest/gtest.h>

#include "tests/data/files.h"
#include "tests/golden.h"

namespace minnow::data_test {
namespace {

const test::Golden& golden() {
  static const test::Golden file("augment");
  return file;
}

/// The pictures of the file: colours, not square, grey, of one colour, and without an inside.
class PictureOps : public testing::TestWithParam<std::string> {
 protected:
  Tensor picture() const { return golden().at(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(, PictureOps, testing::Values("colour", "long", "grey", "plain", "tiny"),
                         [](const auto& info) { return info.param; });

TEST_P(PictureOps, AreThoseOfTorchvision) {
  for (size_t op = 0; op < kPictureOpNames.size(); ++op) {
    const std::string name = std::string(kPictureOpNames[op]) + "." + GetParam();
    const Tensor expected = golden().at(name), magnitudes = golden().at(name + ".magnitude");
    for (int64_t m = 0; m < magnitudes.numel(); ++m) {
      const double magnitude = magnitudes.data<double>()[m];
      const Tensor actual = apply_op(static_cast<PictureOp>(op), magnitude, picture());
      EXPECT_EQ(bytes_of(actual), bytes_of(expected.slice(m, m + 1))) << name << ' ' << magnitude;
    }
  }
}

/// torchvision's are computed in float32, in up to four roundings.
TEST_P(PictureOps, HaveTheStrengthsOfTorchvision) {
  const Tensor expected = golden().at("magnitudes." + GetParam());  // [ops, strengths]
  const int64_t H = picture().dim(1), W = picture().dim(2);
  for (size_t op = 0; op < kPictureOpNames.size(); ++op) {
    const float* row = expected.data<float>() + static_cast<int64_t>(op) * kStrengths;
    const double largest = std::max(std::abs(row[0]), std::abs(row[kStrengths - 1]));
    for (int64_t bin = 0; bin < kStrengths; ++bin) {
      EXPECT_NEAR(op_magnitude(static_cast<PictureOp>(op), bin, H, W), row[bin],
                  4 * 0x1p-24 * largest)
          << kPictureOpNames[op] << ' ' << bin;
    }
  }
}

TEST_P(PictureOps, PartsAreEnlargedAsByPillow) {
  const Tensor expected = golden().at("crop." + GetParam());
  const Tensor windows = golden().at("crop." + GetParam() + ".window");
  for (int64_t m = 0; m < windows.dim(0); ++m) {
    const int64_t* w = windows.data<int64_t>() + 4 * m;
    const Tensor actual = enlarged(picture(), {w[0], w[1], w[2], w[3]});
    EXPECT_EQ(bytes_of(actual), bytes_of(expected.slice(m, m + 1))) << "window " << m;
  }
}

TEST(PictureOpErrors, NameWhatCame) {
  const Tensor picture = Tensor::zeros({3, 4, 5}, DType::uint8);
  expect_error([&] { enlarged(picture, {0, 2, 4, 4}); }, {"4 x 4", "(0, 2)", "4 x 5"});
  expect_error([&] { enlarged(picture, {0, 0, 0, 4}); }, {"0 x 4"});
  expect_error([&] { op_magnitude(PictureOp::rotate, 31, 4, 5); }, {"0 to 30", "31"});
  expect_error([&] { apply_op(PictureOp::posterize, 0, picture); }, {"1 to 8", "got 0"});
  expect_error(
      [&] {
        apply_op(PictureOp::rotate, 1, Tensor::zeros({2, 4, 5}, DType::uint8));
      },
      {"C = 1 or 3", "uint8 [2, 4, 5]"});
}

}  // namespace
}  // namespace minnow::data_test
