#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "data/log_mel.h"
#include "tests/expect_error.h"

namespace minnow {
namespace {

constexpr int64_t kFrames = 100, kBins = 80;

/// Which rows and which columns of ones were set to `value` throughout.
struct Masked {
  std::vector<bool> frames = std::vector<bool>(kFrames, true),
                    bins = std::vector<bool>(kBins, true);

  Masked(const Tensor& features, float value) {
    const float* data = features.data<float>();
    for (int64_t t = 0; t < kFrames; ++t) {
      for (int64_t b = 0; b < kBins; ++b) {
        if (data[t * kBins + b] == value) continue;
        frames[static_cast<size_t>(t)] = bins[static_cast<size_t>(b)] = false;
      }
    }
  }
  static int64_t count(const std::vector<bool>& of) {
    return std::count(of.begin(), of.end(), true);
  }
  /// Whether all that is masked lies side by side.
  static bool one_run(const std::vector<bool>& of) {
    const auto begin = std::find(of.begin(), of.end(), true);
    return std::find(std::find(begin, of.end(), false), of.end(), true) == of.end();
  }
};

Tensor masked(const SpecAugmentOptions& options, uint64_t example, float value = 0) {
  const Tensor features = Tensor::full({kFrames, kBins}, 1);
  spec_augment(features, options, {.seed = 1, .example = example}, value);
  return features;
}

TEST(SpecAugment, MasksWholeBandsAndFrames) {
  for (uint64_t example = 0; example < 200; ++example) {
    const Tensor features = masked({}, example, -3);
    const Masked seen(features, -3);
    EXPECT_LE(Masked::count(seen.bins), 2 * 27);
    EXPECT_LE(Masked::count(seen.frames), 2 * 5);
    const float* data = features.data<float>();
    for (size_t i = 0; i < kFrames * kBins; ++i) {
      ASSERT_EQ(data[i], seen.frames[i / kBins] || seen.bins[i % kBins] ? -3 : 1);
    }
  }
}

/// Every width from none to the most comes up, as does every place that a mask can have. One width
/// of 28 or 6 is missed by 1000 draws with probability (27 / 28)^1000 < 1e-15; the first or last of
/// 80 bins is masked with probability of about 1 / 67.
TEST(SpecAugment, AllWidthsAndPlaces) {
  std::vector<bool> widths(28), lengths(6), bins(kBins), frames(kFrames);
  for (uint64_t example = 0; example < 1000; ++example) {
    const Masked band(masked({.frequency_masks = 1, .time_masks = 0}, example), 0);
    const Masked run(masked({.frequency_masks = 0, .time_masks = 1}, example), 0);
    EXPECT_TRUE(Masked::one_run(band.bins) && Masked::one_run(run.frames));
    EXPECT_EQ(Masked::count(band.frames) + Masked::count(run.bins), 0);
    widths.at(static_cast<size_t>(Masked::count(band.bins))) = true;
    lengths.at(static_cast<size_t>(Masked::count(run.frames))) = true;
    for (size_t b = 0; b < kBins; ++b) bins[b] = bins[b] || band.bins[b];
    for (size_t t = 0; t < kFrames; ++t) frames[t] = frames[t] || run.frames[t];
  }
  EXPECT_EQ(Masked::count(widths), 28);
  EXPECT_EQ(Masked::count(lengths), 6);
  EXPECT_EQ(Masked::count(bins), kBins);
  EXPECT_EQ(Masked::count(frames), kFrames);
}

TEST(SpecAugment, TheKeyDecides) {
  const SpecAugmentOptions options;
  EXPECT_EQ(masked(options, 7).to_vector<float>(), masked(options, 7).to_vector<float>());
  EXPECT_NE(masked(options, 7).to_vector<float>(), masked(options, 8).to_vector<float>());
}

TEST(SpecAugment, MasksAsWideAsTheFeaturesOrNone) {
  const Tensor small = Tensor::full({3, 4}, 1);
  for (uint64_t example = 0; example < 100; ++example) {
    spec_augment(small, {.frequency_width = 100, .time_share = 1}, {.example = example});
  }
  const SpecAugmentOptions none{.frequency_masks = 0, .time_masks = 0};
  EXPECT_EQ(Masked::count(Masked(masked(none, 1), 0).bins), 0);
  spec_augment(Tensor::zeros({0, 80}), {}, {});
}

TEST(SpecAugment, WrongOptions) {
  expect_error([] { masked({.frequency_width = -1}, 0); },
               {"spec_augment", "frequency_width", "-1"});
  expect_error([] { masked({.time_share = 1.5}, 0); }, {"spec_augment", "time_share", "1.5"});
  expect_error([] { spec_augment(Tensor::zeros({3}), {}, {}); }, {"spec_augment", "[3]"});
}

}  // namespace
}  // namespace minnow
