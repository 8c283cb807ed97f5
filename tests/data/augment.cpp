#include "data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

RandomSequence sequence(uint64_t number) {
  return RandomSequence({.seed = 11, .stream = stream::augment, .step = 0, .example = number});
}

/// [3, H, W]; dark on the left, bright on the right, a little of each channel's own.
Tensor slope(int64_t H, int64_t W) {
  Tensor picture = Tensor::empty({3, H, W}, DType::uint8);
  for (int64_t i = 0; i < picture.numel(); ++i) {
    const int64_t c = i / (H * W), y = i / W % H, x = i % W;
    picture.data<uint8_t>()[i] = static_cast<uint8_t>(40 + 9 * x + 5 * y + 13 * c);
  }
  return picture;
}

Tensor mirrored(const Tensor& picture) {
  Tensor out = picture.clone();
  const int64_t W = picture.dim(2);
  for (uint8_t* row = out.data<uint8_t>(); row < out.data<uint8_t>() + out.numel(); row += W) {
    std::reverse(row, row + W);
  }
  return out;
}

/// One operation on the picture or its mirror image, with either sign where it has one, and in time
/// all of them.
TEST(RandAugment, DrawsFromAllOperations) {
  const Tensor picture = slope(9, 10);
  std::set<Bytes> possible, seen;
  for (size_t k = 0; k < kPictureOpNames.size(); ++k) {
    const auto op = static_cast<PictureOp>(k);
    const double magnitude = op_magnitude(op, 20, 9, 10);
    for (const Tensor& start : {picture, mirrored(picture)}) {
      possible.insert(bytes_of(apply_op(op, magnitude, start)));
      if (op_is_signed(op)) possible.insert(bytes_of(apply_op(op, -magnitude, start)));
    }
  }
  const AugmentOptions options{
      .augment = Augment::deit, .pad = 0, .randaug_ops = 1, .randaug_magnitude = 20};
  for (uint64_t k = 0; k < 1500; ++k) {
    RandomSequence random = sequence(k);
    const Bytes bytes = bytes_of(augmented(picture, options, random));
    ASSERT_TRUE(possible.contains(bytes)) << k;
    seen.insert(bytes);
  }
  // Each of 46 is missed with a probability of (1 - 1/56)^1500 = 2e-12.
  EXPECT_EQ(seen.size(), possible.size());
  EXPECT_GT(possible.size(), 30u);  // few of them are alike
}

TEST(RandAugment, WithoutOperationsIsCropAndFlip) {
  const Tensor picture = slope(12, 12);
  for (uint64_t k = 0; k < 20; ++k) {
    RandomSequence a = sequence(k), b = sequence(k);
    const Tensor flipped = augmented(picture, {.augment = Augment::crop_flip, .pad = 2}, a);
    const Tensor deit =
        augmented(picture, {.augment = Augment::deit, .pad = 2, .randaug_ops = 0}, b);
    EXPECT_EQ(bytes_of(flipped), bytes_of(deit));
  }
}

/// [3, 100, 100]: the first channel holds the column, the second the row.
Tensor coordinates() {
  Tensor picture = Tensor::zeros({3, 100, 100}, DType::uint8);
  for (int64_t i = 0; i < 10000; ++i) {
    picture.data<uint8_t>()[i] = static_cast<uint8_t>(i % 100);
    picture.data<uint8_t>()[10000 + i] = static_cast<uint8_t>(i / 100);
  }
  return picture;
}

/// The corners of an enlarged part are its own corners, so they tell which part it is.
TEST(RandomResizedCrop, DrawsPartsWithinItsLimits) {
  const Tensor picture = coordinates();
  const AugmentOptions options{.augment = Augment::deit, .randaug_ops = 0};  // auto: above 64
  int flipped = 0;
  std::set<int> areas, shapes, tops;
  for (uint64_t k = 0; k < 2000; ++k) {
    RandomSequence random = sequence(k);
    const Tensor out = augmented(picture, options, random);
    const uint8_t* x = out.data<uint8_t>();
    int left = x[0], right = x[9999];
    const int top = x[10000], bottom = x[19999];
    flipped += left > right;
    if (left > right) std::swap(left, right);
    const int height = bottom - top + 1, width = right - left + 1;
    if (height == 100 && width == 100) continue;  // also where ten draws did not fit
    // Each side was rounded to a whole pixel.
    EXPECT_GE((height + 0.5) * (width + 0.5), 800);
    EXPECT_LE((height - 0.5) / (width + 0.5), 4.0 / 3);
    EXPECT_GE((height + 0.5) / (width - 0.5), 3.0 / 4);
    areas.insert(height * width / 1000);
    shapes.insert(static_cast<int>(std::lround(10.0 * height / width)));
    tops.insert(top);
  }
  EXPECT_NEAR(flipped, 1000, 112);                         // five standard deviations
  EXPECT_GE(areas.size(), 9u);                             // 800 .. 10000
  EXPECT_TRUE(shapes.contains(8) && shapes.contains(13));  // from wide to tall
  EXPECT_GT(tops.size(), 40u);
}

TEST(RandomResizedCrop, KeyDecidesAboveAndBelow64Pixels) {
  const auto is_padded = [](int64_t side, Crop crop) {
    int black = 0;
    for (uint64_t k = 0; k < 20; ++k) {
      RandomSequence random = sequence(k);
      const AugmentOptions options{.augment = Augment::deit, .crop = crop, .randaug_ops = 0};
      const Tensor white = Tensor::full({3, side, side}, 255, DType::uint8);
      const Bytes bytes = bytes_of(augmented(white, options, random));
      black += std::count(bytes.begin(), bytes.end(), uint8_t{0}) > 0;
    }
    return black > 0;
  };
  EXPECT_TRUE(is_padded(64, Crop::automatic));
  EXPECT_FALSE(is_padded(65, Crop::automatic));
  EXPECT_FALSE(is_padded(16, Crop::resized));
  EXPECT_TRUE(is_padded(80, Crop::pad));
}

/// Noise at 24 bits never is 100 exactly, nor as far from zero.
TEST(ErasePart, FillsARectangleWithNoise) {
  const int64_t H = 20, W = 30;
  int64_t erased = 0, values = 0;
  double sum = 0, squares = 0;
  std::set<int64_t> tops, heights;
  for (uint64_t k = 0; k < 2000; ++k) {
    Tensor picture = Tensor::full({3, H, W}, 100);
    RandomSequence random = sequence(k);
    erase_part(picture, 0.25, random);
    const float* x = picture.data<float>();
    int64_t top = H, bottom = -1, left = W, right = -1, count = 0;
    for (int64_t i = 0; i < 3 * H * W; ++i) {
      if (x[i] == 100) continue;
      ++count;
      top = std::min(top, i / W % H), bottom = std::max(bottom, i / W % H);
      left = std::min(left, i % W), right = std::max(right, i % W);
      sum += x[i], squares += double{x[i]} * x[i];
    }
    if (count == 0) continue;
    ++erased;
    values += count;
    const int64_t height = bottom - top + 1, width = right - left + 1;
    ASSERT_EQ(count, 3 * height * width) << "a full rectangle, in every channel";
    EXPECT_TRUE(height < H && width < W);
    // Each side was rounded to a whole pixel.
    const auto h = static_cast<double>(height), w = static_cast<double>(width);
    EXPECT_GE((h + 0.5) * (w + 0.5), 0.02 * 600);
    EXPECT_LE((h - 0.5) * (w - 0.5), 600 / 3.0);
    EXPECT_GE((h + 0.5) / (w - 0.5), 0.3);
    EXPECT_LE((h - 0.5) / (w + 0.5), 1 / 0.3);
    tops.insert(top);
    heights.insert(height);
  }
  const auto n = static_cast<double>(values);
  // Five standard deviations each; next to no draw fails ten times.
  EXPECT_NEAR(static_cast<double>(erased), 500, 97);
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_GE(tops.size(), 15u);
  EXPECT_GE(heights.size(), 14u);  // 2 .. 19
}

TEST(ErasePart, ChanceIsTheKeysOwn) {
  for (uint64_t k = 0; k < 50; ++k) {
    Tensor never = Tensor::full({1, 8, 8}, 100), always = never.clone();
    RandomSequence a = sequence(k), b = sequence(k);
    erase_part(never, 0, a);
    erase_part(always, 1, b);
    EXPECT_EQ(bytes_of(never), bytes_of(Tensor::full({1, 8, 8}, 100)));
    EXPECT_NE(bytes_of(never), bytes_of(always));
  }
}

TEST(Crop, Names) {
  EXPECT_EQ(crop_from("auto"), Crop::automatic);
  EXPECT_EQ(crop_from("pad"), Crop::pad);
  EXPECT_EQ(crop_from("resized"), Crop::resized);
  expect_error([] { crop_from("centre"); }, {"auto, pad or resized", "centre"});
}

}  // namespace
}  // namespace minnow::data_test
