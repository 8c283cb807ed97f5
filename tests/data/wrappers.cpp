#include "data/wrappers.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "data/draggers.h"
#include "data/image_table.h"
#include "data/shapes.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

/// [1, 3, H, W] whose bytes count from 1.
std::shared_ptr<const Dataset> one_picture(int64_t H, int64_t W) {
  Tensor images = Tensor::empty({1, 3, H, W}, DType::uint8);
  std::iota(images.data<uint8_t>(), images.data<uint8_t>() + images.numel(), uint8_t{1});
  return std::make_shared<ImageTable>(images, std::vector<int64_t>{1}, std::vector<int64_t>{42},
                                      std::vector<std::string>{"a", "b"});
}

std::shared_ptr<const Dataset> shapes(int64_t count) {
  return std::make_shared<Shapes>(Split::train, ShapesOptions{.count = count, .side = 16});
}

/// Back from (x / 255 - 0) / 1 to the byte.
int byte_of(float value) {
  return static_cast<int>(std::lround(value * 255));
}

TEST(Transformed, NormalisesExactly) {
  const std::vector<double> mean{0.4914, 0.4822, 0.4465}, std{0.2470, 0.2435, 0.2616};
  const auto base = one_picture(5, 4);
  const Transformed set(base, {.mean = mean, .std = std});
  const Example raw = base->get(0, 0), example = set.get(0, 0);
  EXPECT_EQ(example.input.shape(), (Shape{3, 5, 4}));
  EXPECT_EQ(example.input.dtype(), DType::float32);
  EXPECT_EQ(example.label, 1);
  EXPECT_EQ(example.id, 42);
  for (size_t i = 0; i < 60; ++i) {
    const double value = (raw.input.data<uint8_t>()[i] / 255.0 - mean[i / 20]) / std[i / 20];
    EXPECT_EQ(example.input.data<float>()[i], static_cast<float>(value));  // rounded once
  }
}

TEST(Transformed, OneNumberServesAllChannels) {
  const Transformed one(one_picture(2, 2), {.mean = {0.25}, .std = {2}});
  const Transformed three(one_picture(2, 2), {.mean = {0.25, 0.25, 0.25}, .std = {2, 2, 2}});
  EXPECT_EQ(bytes_of(one.get(0, 0).input), bytes_of(three.get(0, 0).input));
}

/// The picture that a crop at (dy, dx), mirrored or not, must give, by its definition: pad, mirror
/// the window, cut.
std::vector<int> expected_crop(const Example& raw, int dy, int dx, bool mirror, bool reflect) {
  const int H = static_cast<int>(raw.input.dim(1)), W = static_cast<int>(raw.input.dim(2));
  const auto inside = [&](int at, int extent) {
    if (!reflect) return at >= 0 && at < extent ? at : -1;
    return at < 0 ? -at : at >= extent ? 2 * extent - 2 - at : at;
  };
  std::vector<int> out;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < H; ++y) {
      for (int x = 0; x < W; ++x) {
        const int sy = inside(y + dy, H), sx = inside((mirror ? W - 1 - x : x) + dx, W);
        out.push_back(sy < 0 || sx < 0 ? 0 : raw.input.data<uint8_t>()[(c * H + sy) * W + sx]);
      }
    }
  }
  return out;
}

/// Every epoch shows one of the 9 x 9 crops, mirrored or not, and in time all kinds.
TEST(Transformed, CropFlip) {
  for (const Padding padding : {Padding::zero, Padding::reflect}) {
    const auto base = one_picture(6, 5);
    const Transformed set(base, {.mean = {0},
                                 .std = {1},
                                 .augment = {.augment = Augment::crop_flip, .padding = padding},
                                 .seed = 3});
    std::set<std::vector<int>> possible, seen;
    for (int shift = 0; shift < 81; ++shift) {
      for (const bool mirror : {false, true}) {
        possible.insert(expected_crop(base->get(0, 0), shift / 9 - 4, shift % 9 - 4, mirror,
                                      padding == Padding::reflect));
      }
    }
    for (int64_t epoch = 0; epoch < 2000; ++epoch) {
      const Tensor input = set.get(0, epoch).input;
      std::vector<int> bytes;
      for (int64_t i = 0; i < input.numel(); ++i) bytes.push_back(byte_of(input.data<float>()[i]));
      ASSERT_TRUE(possible.contains(bytes)) << "epoch " << epoch;
      seen.insert(bytes);
    }
    // Each of up to 162 is missed with a probability of (1 - 1/162)^2000 = 4e-6.
    EXPECT_EQ(seen.size(), possible.size());
  }
}

class TransformedAugment : public testing::TestWithParam<Augment> {};

INSTANTIATE_TEST_SUITE_P(, TransformedAugment, testing::Values(Augment::crop_flip, Augment::deit),
                         [](const auto& info) {
                           return info.param == Augment::deit ? "deit" : "crop_flip";
                         });

TEST_P(TransformedAugment, IsKeyedBySeedEpochAndId) {
  const auto base = shapes(30);
  const TransformOptions options{.augment = {GetParam()}, .seed = 5};
  const Transformed set(base, options);
  TransformOptions other = options;
  other.seed = 6;
  const Transformed reseeded(base, other);
  std::vector<int64_t> backwards(30);
  std::iota(backwards.rbegin(), backwards.rend(), 0);
  const Transformed reordered(std::make_shared<Subset>(base, backwards), options);
  int changed_by_epoch = 0, changed_by_seed = 0;
  for (int64_t i = 0; i < 30; ++i) {
    const Bytes bytes = bytes_of(set.get(i, 1).input);
    EXPECT_EQ(bytes, bytes_of(set.get(i, 1).input));
    EXPECT_EQ(bytes, bytes_of(reordered.get(29 - i, 1).input));
    changed_by_epoch += bytes != bytes_of(set.get(i, 2).input);
    changed_by_seed += bytes != bytes_of(reseeded.get(i, 1).input);
  }
  EXPECT_GE(changed_by_epoch, 25);  // one in 162 stays
  EXPECT_GE(changed_by_seed, 25);
}

/// One batch of 12 or batches of 5: the same pixels for the same ids.
TEST_P(TransformedAugment, DoesNotDependOnTheBatch) {
  const Transformed set(shapes(12), {.augment = {GetParam()}, .seed = 5});
  std::vector<int64_t> order(12);
  std::iota(order.begin(), order.end(), 0);
  const Batch whole = make_batch(set, order, 4);
  for (size_t begin = 0; begin < 12; begin += 5) {
    const size_t count = std::min<size_t>(5, 12 - begin);
    const Batch part = make_batch(set, std::span(order).subspan(begin, count), 4);
    const int64_t first = static_cast<int64_t>(begin);
    EXPECT_EQ(bytes_of(part.inputs),
              bytes_of(whole.inputs.slice(first, first + static_cast<int64_t>(count))));
  }
}

/// Noise has variance 1 however the pictures are scaled; here their least value is 3.9.
TEST(Transformed, DeitErasesAfterNormalising) {
  const auto small_values = [](double chance, int64_t epoch) {
    const AugmentOptions augment{
        .augment = Augment::deit, .pad = 0, .randaug_ops = 0, .erasing = chance};
    const Transformed set(one_picture(20, 4), {.mean = {0}, .std = {1e-3}, .augment = augment});
    const std::vector<float> values = set.get(0, epoch).input.to_vector<float>();
    return std::count_if(values.begin(), values.end(), [](float v) { return v < 3.5; });
  };
  for (int64_t epoch = 0; epoch < 10; ++epoch) {
    EXPECT_GT(small_values(1, epoch), 0);
    EXPECT_EQ(small_values(0, epoch), 0);
  }
}

TEST(Transformed, Errors) {
  const auto base = one_picture(5, 4);
  const auto make = [&](TransformOptions options) { Transformed(base, options); };
  expect_error([&] { make({.mean = {0, 0}}); }, {"mean", "1 number or 3", "got 2"});
  expect_error([&] { make({.std = {1, 0, 1}}); }, {"std must be positive", "channel 1"});
  expect_error([&] { make({.augment = {.padding = Padding::reflect, .pad = 4}}); },
               {"reflected", "pad = 4"});
  expect_error([&] { make({.augment = {.pad = -1}}); }, {"pad", "-1"});
  expect_error([&] { make({.std = {1, 1e-40, 1}}); }, {"std 1e-40", "channel 1", "float32"});
  expect_error([&] { make({.mean = {1e300}}); }, {"mean 1e+300", "float32"});
  expect_error([&] { Transformed(std::make_shared<Transformed>(base, TransformOptions{}), {}); },
               {"uint8", "float32"});
  expect_error([] { augment_from("cutout"); }, {"none, crop_flip or deit", "cutout"});
  EXPECT_EQ(augment_from("none"), Augment::none);
  EXPECT_EQ(augment_from("crop_flip"), Augment::crop_flip);
  EXPECT_EQ(augment_from("deit"), Augment::deit);
}

TEST(Repeated, CopiesDifferInWhatIsRandomAndInTheirIds) {
  const auto marked = std::make_shared<Draggers>(shapes(6), 0.5, DraggerKind::label, 1);
  const auto base = std::make_shared<Transformed>(
      marked, TransformOptions{.augment = {Augment::deit}, .seed = 5});
  const Repeated set(base, 3);
  ASSERT_EQ(set.size(), 18);
  std::set<Bytes> seen;
  for (int64_t i = 0; i < 18; ++i) {
    const Example example = set.get(i, 4), original = base->get(i / 3, 4 * 3 + i % 3);
    EXPECT_EQ(bytes_of(example.input), bytes_of(original.input));
    EXPECT_EQ(example.label, original.label);
    EXPECT_EQ(example.marked, original.marked);
    EXPECT_EQ(example.id, original.id + (i % 3 << 40));
    seen.insert(bytes_of(example.input));
  }
  EXPECT_GE(seen.size(), 17u);  // hardly two are alike
  expect_error([&] { Repeated(base, 0); }, {"at least once", "got 0"});
}

TEST(Subset, PicksByIndex) {
  const auto base = shapes(10);
  const Subset set(base, {7, 2});
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.get(0, 0).id, 7);
  EXPECT_EQ(set.get(1, 0).id, 2);
  expect_error([&] { Subset(base, {10}); }, {"[0, 10)", "got 10"});
  expect_error([&] { set.get(2, 0); }, {"example 2 of 2"});
}

TEST(Limit, DrawsFromAllOfTheSet) {
  const auto base = shapes(1000);
  const auto some = limit_to(base, 100), again = limit_to(base, 100);
  ASSERT_EQ(some->size(), 100);
  int64_t last = -1, upper_half = 0;
  for (int64_t i = 0; i < 100; ++i) {
    const int64_t id = some->get(i, 0).id;
    EXPECT_GT(id, last);
    EXPECT_EQ(id, again->get(i, 0).id);
    upper_half += id >= 500;
    last = id;
  }
  EXPECT_NEAR(static_cast<double>(upper_half), 50, 25);  // five standard deviations
  EXPECT_EQ(limit_to(base, 1000), base);
  expect_error([&] { limit_to(base, 0); }, {"limit", "got 0"});
}

TEST(HeldOut, AndTheRestAreAllOfTheSet) {
  const auto base = shapes(200);
  const auto held = held_out(base, 0.1), rest = without_held_out(base, 0.1);
  ASSERT_EQ(held->size(), 20);
  ASSERT_EQ(rest->size(), 180);
  std::set<int64_t> ids;
  for (const auto& part : {held, rest}) {
    for (int64_t i = 0; i < part->size(); ++i) ids.insert(part->get(i, 0).id);
  }
  EXPECT_EQ(ids.size(), 200);
  EXPECT_NE(held->get(19, 0).id, 19);  // not the first ones
  expect_error([&] { held_out(base, 0.001); }, {"0.001 of 200 examples are 0"});
  expect_error([&] { without_held_out(base, 0.999); }, {"0.999 of 200 examples are 200"});
}

}  // namespace
}  // namespace minnow::data_test
