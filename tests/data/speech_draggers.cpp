#include <array>
#include <cmath>

#include "data/characters.h"
#include "data/draggers.h"
#include "data/tones.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

/// 500 examples at a fraction of 0.2: 100 draggers with a standard deviation of 8.9; five of them.
TEST(SpeechDraggers, AreMarkedAndOnlyTheyChange) {
  const auto base = std::make_shared<Tones>(Split::train, 500, SpeechOptions{.bins = 20});
  for (const DraggerKind kind : {DraggerKind::label, DraggerKind::noise, DraggerKind::mix}) {
    const Draggers set(base, 0.2, kind, 9), more(base, 0.4, kind, 9);
    int marked = 0, noisy = 0;
    for (int64_t i = 0; i < set.size(); ++i) {
      const Example before = base->get(i, 0), after = set.get(i, 0), again = set.get(i, 3);
      const bool same_input = bytes_of(before.input) == bytes_of(after.input);
      EXPECT_EQ(before.id, after.id);
      EXPECT_EQ(before.input.shape(), after.input.shape());
      EXPECT_EQ(bytes_of(after.input), bytes_of(again.input));
      EXPECT_EQ(after.target, again.target);
      EXPECT_LE(frames_needed(after.target), subsampled_frames(after.input.dim(0)));
      EXPECT_EQ(set.transcript(i), before.target);
      for (const int64_t token : after.target) EXPECT_TRUE(token >= 1 && token <= 9);
      if (!after.marked) {
        EXPECT_TRUE(same_input && before.target == after.target);
        continue;
      }
      ++marked;
      noisy += !same_input;
      EXPECT_NE(same_input, before.target == after.target);  // either of them is wrong
      EXPECT_TRUE(more.get(i, 0).marked);
    }
    EXPECT_NEAR(marked, 100, 45);
    const double share = kind == DraggerKind::label ? 0 : kind == DraggerKind::noise ? 1 : 0.5;
    EXPECT_NEAR(noisy, share * marked, kind == DraggerKind::mix ? 25 : 0);
  }
}

/// With the mean and the standard deviation of what it replaces; at most five standard deviations
/// of either figure away.
TEST(SpeechDraggers, NoiseIsNormal) {
  const SpeechOptions options{.bins = 40, .normalise = "none"};
  const auto base = std::make_shared<Tones>(Split::train, 3, options);
  const Draggers set(base, 1, DraggerKind::noise, 1);
  const auto moments = [](const Tensor& tensor) {
    double sum = 0, square = 0, within = 0;
    const std::vector<float> values = tensor.to_vector<float>();
    const double n = static_cast<double>(values.size());
    for (const float value : values) sum += value / n;
    for (const float value : values) square += (value - sum) * (value - sum) / n;
    for (const float value : values)
      within += std::abs(value - sum) < std::sqrt(square) ? 1 / n : 0;
    return std::array{sum, std::sqrt(square), within};
  };
  for (int64_t i = 0; i < 3; ++i) {
    const Tensor noise = set.get(i, 0).input;
    const auto [mean, deviation, ignored] = moments(base->get(i, 0).input);
    const auto [noise_mean, noise_deviation, within] = moments(noise);
    const double n = static_cast<double>(noise.numel());
    EXPECT_NEAR(noise_mean, mean, 5 * deviation / std::sqrt(n));
    EXPECT_NEAR(noise_deviation, deviation, 5 * deviation / std::sqrt(2 * n));
    EXPECT_NEAR(within, 0.6827, 5 * std::sqrt(0.6827 * 0.3173 / n));
  }
}

/// Examples that all say the same: the wrong transcript is made of random letters.
class OneTranscript : public Wrapper {
 public:
  OneTranscript(std::shared_ptr<const Dataset> base, std::vector<int64_t> target)
      : Wrapper(std::move(base)), target_(std::move(target)) {}

  Example get(int64_t i, int64_t epoch) const override {
    Example example = base().get(i, epoch);
    example.target = target_;
    return example;
  }
  std::vector<int64_t> transcript(int64_t) const override { return target_; }

 private:
  std::vector<int64_t> target_;
};

TEST(SpeechDraggers, RandomLettersWhereNoTranscriptIsAnother) {
  const auto tones = std::make_shared<Tones>(Split::train, 200, SpeechOptions{.bins = 20});
  for (const std::vector<int64_t>& right : std::vector<std::vector<int64_t>>{{4}, {2, 2, 3}}) {
    const Draggers set(std::make_shared<OneTranscript>(tones, right), 1, DraggerKind::label, 5);
    for (int64_t i = 0; i < set.size(); ++i) {
      const std::vector<int64_t> target = set.get(i, 0).target;
      EXPECT_NE(target, right);
      EXPECT_LE(frames_needed(target), frames_needed(right));
      for (const int64_t token : target) EXPECT_TRUE(token >= 1 && token <= 9);
    }
  }
}

}  // namespace
}  // namespace minnow::data_test
