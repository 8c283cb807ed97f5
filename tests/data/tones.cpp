#include "data/tones.h"

#include <cmath>
#include <set>

#include "data/characters.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

TEST(Tones, ExamplesFitTheirTranscripts) {
  for (const int64_t rate : {8000, 16000}) {
    const Tones set(Split::train, 300, {.rate = rate, .bins = 40});
    std::set<int64_t> tokens;
    std::set<size_t> sizes;
    for (int64_t i = 0; i < set.size(); ++i) {
      const Example example = set.get(i, 0);
      EXPECT_EQ(example.id, i);
      EXPECT_EQ(example.target, set.transcript(i));
      std::string text;
      for (const int64_t token : example.target) text += set.classes()[static_cast<size_t>(token)];
      EXPECT_EQ(example.text, text);
      EXPECT_EQ(example.input.shape(), (Shape{set.length(i), 40}));
      EXPECT_LE(frames_needed(example.target), subsampled_frames(set.length(i)));
      for (const float value : example.input.to_vector<float>()) ASSERT_TRUE(std::isfinite(value));
      tokens.insert(example.target.begin(), example.target.end());
      sizes.insert(example.target.size());
      EXPECT_NE(example.target.front(), 1);  // no blank at the ends
      EXPECT_NE(example.target.back(), 1);
    }
    EXPECT_EQ(tokens, (std::set<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(*sizes.begin(), 2u);    // one short word
    EXPECT_GE(*sizes.rbegin(), 14u);  // three long words have up to 17
  }
}

TEST(Tones, AreKeyedBySeedAndId) {
  const Tones few(Split::train, 3, {}), many(Split::train, 10, {.cache_bytes = 0});
  const Tones other(Split::train, 3, {.data_seed = 1}), test(Split::test, 3, {});
  for (int64_t i = 0; i < 3; ++i) {
    const Bytes bytes = bytes_of(few.get(i, 0).input);
    EXPECT_EQ(bytes, bytes_of(many.get(i, 5).input));
    EXPECT_NE(bytes, bytes_of(other.get(i, 0).input));
    EXPECT_NE(bytes, bytes_of(test.get(i, 0).input));
    EXPECT_EQ(test.get(i, 0).id, kFirstTestId + i);
  }
}

TEST(Tones, Options) {
  const Tones plain(Split::test, 3, {}), noisy(Split::test, 3, {.noise_db = 0});
  EXPECT_NE(bytes_of(plain.get(0, 0).input), bytes_of(noisy.get(0, 0).input));
  const Tones train(Split::train, 3, {}), augmented(Split::train, 3, {.augment = true});
  EXPECT_NE(bytes_of(train.get(0, 1).input), bytes_of(augmented.get(0, 1).input));
  EXPECT_NE(bytes_of(augmented.get(0, 2).input), bytes_of(augmented.get(0, 1).input));
  EXPECT_EQ(augmented.get(0, 1).input.shape(), train.get(0, 1).input.shape());
  expect_error([] { Tones(Split::train, 0, {}); }, {"tones", "positive", "0"});
  expect_error([] { Tones(Split::train, 1, {.rate = 4000}); }, {"tones", "8000", "4000"});
  expect_error([] { Tones(Split::train, 1, {.bins = 0}); }, {"bins"});
  expect_error([] { Tones(Split::train, 2, {}).get(2, 0); }, {"example 2 of 2"});
}

}  // namespace
}  // namespace minnow::data_test
