#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "data/loader.h"
#include "data/speech.h"
#include "tests/data/corpus.h"

// What changes recordings on their way: speeds, masks, noise, draggers, and the caches behind them.
namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

/// One second has 98 frames at its own speed, 109 or 89 to 90 at the others. Over 300 epochs each
/// comes up 100 times, with a standard deviation of 8.2; five of them.
TEST(SpeechChanges, SpeedsAreDrawnByEpoch) {
  Corpus corpus;
  corpus.add("train", "a.wav", "a", tone(1, 300));
  corpus.add("train", "tight.wav", "abcabcabcabcabcabcabcab", tone(1, 300));
  const Speech set = corpus.open(Split::train, {.augment = true, .spec_augment = false, .seed = 3});
  const Speech again = corpus.open(
      Split::train, {.augment = true, .spec_augment = false, .seed = 3, .cache_bytes = 0});
  std::map<int64_t, int> count;
  std::set<int64_t> tight;
  for (int64_t epoch = 0; epoch < 300; ++epoch) {
    const Tensor input = set.get(0, epoch).input;
    ++count[input.dim(0)];
    tight.insert(set.get(1, epoch).input.dim(0));
    if (epoch < 10) {
      EXPECT_EQ(bytes_of(again.get(0, epoch).input), bytes_of(input));
    }
  }
  ASSERT_EQ(count.size(), 3u);
  for (const auto& [frames, n] : count) EXPECT_NEAR(n, 100, 41) << frames;
  EXPECT_EQ(count.begin()->first, 89);
  EXPECT_EQ(count.rbegin()->first, 109);
  EXPECT_EQ(tight, (std::set<int64_t>{98, 109}));  // 23 letters need 95 frames: never faster
}

TEST(SpeechChanges, OnlyTheTrainSplitIsAugmented) {
  Corpus corpus;
  fill(corpus);
  const SpeechOptions options{.augment = true, .seed = 5};
  const Speech train = corpus.open(Split::train, options), test = corpus.open(Split::test, options);
  const Speech plain = corpus.open(Split::test);
  SpeechOptions reseeded = options;
  reseeded.seed = 6;
  const Speech other = corpus.open(Split::train, reseeded);
  int by_epoch = 0, by_seed = 0;
  for (int64_t i = 0; i < 12; ++i) {
    const Bytes bytes = bytes_of(train.get(i, 1).input);
    EXPECT_EQ(bytes, bytes_of(train.get(i, 1).input));
    by_epoch += bytes != bytes_of(train.get(i, 2).input);
    by_seed += bytes != bytes_of(other.get(i, 1).input);
  }
  EXPECT_GE(by_epoch, 11);
  EXPECT_GE(by_seed, 11);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(bytes_of(test.get(i, 1).input), bytes_of(plain.get(i, 2).input));
  }
}

/// Masks hold the mean: 0 of what is normalised, whatever it is of what is not.
TEST(SpeechChanges, MasksHoldTheMean) {
  Corpus corpus;
  corpus.add("train", "a.wav", "a", tone(1, 300));
  for (const char* normalise : {"utterance", "none"}) {
    SpeechOptions options{.normalise = normalise, .augment = true, .speeds = {1}};
    options.masks = {.frequency_masks = 0, .time_masks = 20, .time_share = 0.5};
    const Tensor masked = corpus.open(Split::train, options).get(0, 0).input;
    options.spec_augment = false;
    const Tensor plain = corpus.open(Split::train, options).get(0, 0).input;
    double mean = 0;
    for (const float value : plain.to_vector<float>()) mean += value / plain.numel();
    EXPECT_EQ(std::abs(mean) < 1e-4, normalise == std::string("utterance"));
    int changed = 0;
    for (int64_t k = 0; k < plain.numel(); ++k) {
      const float value = masked.data<float>()[k];
      if (value == plain.data<float>()[k]) continue;
      EXPECT_NEAR(value, mean, 1e-4);
      ++changed;
    }
    EXPECT_GT(changed, 80 * 40);
  }
}

TEST(SpeechChanges, NoiseComesIntoTheTestSplitOnly) {
  Corpus corpus;
  fill(corpus);
  const SpeechOptions options{.noise_db = 10};
  const Speech noisy = corpus.open(Split::test, options), plain = corpus.open(Split::test);
  const Speech train = corpus.open(Split::train, options);
  EXPECT_NE(bytes_of(noisy.get(0, 0).input), bytes_of(plain.get(0, 0).input));
  EXPECT_EQ(bytes_of(noisy.get(0, 0).input), bytes_of(noisy.get(0, 1).input));
  EXPECT_EQ(bytes_of(train.get(0, 0).input), bytes_of(corpus.open(Split::train).get(0, 0).input));
}

/// Whatever the workers, the cache and the batch.
TEST(SpeechChanges, WorkersChangeNothing) {
  Corpus corpus;
  fill(corpus);
  const auto run = [&](int64_t workers, int64_t cache) {
    const auto set = std::make_shared<Speech>(
        "manifest", corpus.path().string(), Split::train,
        SpeechOptions{.augment = true, .seed = 4, .fast_share = 0.3, .cache_bytes = cache});
    Loader loader(set, {.batch = 5, .shuffle = true, .seed = 3, .workers = workers});
    std::vector<Batch> all;
    for (int64_t epoch : {0, 1, 2}) {
      loader.start_epoch(epoch);
      while (std::optional<Batch> batch = loader.next()) all.push_back(std::move(*batch));
    }
    return all;
  };
  const std::vector<Batch> expected = run(0, 0);
  ASSERT_EQ(expected.size(), 9u);
  for (const int64_t workers : {0, 3}) {
    for (const int64_t cache : {0, 100000, 1 << 30}) {
      const std::vector<Batch> got = run(workers, cache);
      for (size_t k = 0; k < 9; ++k) {
        EXPECT_TRUE(same(got[k], expected[k]));
        EXPECT_EQ(bytes_of(got[k].lengths), bytes_of(expected[k].lengths));
        EXPECT_EQ(bytes_of(got[k].targets), bytes_of(expected[k].targets));
      }
    }
  }
}

/// Kept for another one with the same options; whatever else changes features is told apart.
TEST(SpeechChanges, FeaturesAreKeptInAFolder) {
  Corpus corpus;
  fill(corpus);
  TemporaryFolder folder;
  const auto kept = [&] {
    int64_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path()))
      files += entry.is_regular_file();
    return files;
  };
  const SpeechOptions plain{.bins = 20, .cache_bytes = 0};
  int64_t expected = 0;
  const auto expect_same = [&](const SpeechOptions& options, Split split, int64_t more) {
    SpeechOptions keeping = options;
    keeping.cache_dir = folder.string();
    const Speech without = corpus.open(split, options);
    for (int round : {0, 1}) {
      const Speech set = corpus.open(split, keeping);
      for (int64_t i = 0; i < set.size(); ++i) {
        EXPECT_EQ(bytes_of(set.get(i, 3).input), bytes_of(without.get(i, 3).input)) << round;
      }
      EXPECT_TRUE(set.warnings().empty());
      if (round == 0) expected += more;
      EXPECT_EQ(kept(), expected);
    }
  };
  const auto with = [&](auto change) {
    SpeechOptions options = plain;
    change(options);
    return options;
  };
  expect_same(plain, Split::train, 12);
  expect_same(plain, Split::test, 3);
  expect_same(with([](auto& o) { o.rate = 8000; }), Split::train, 12);
  expect_same(with([](auto& o) { o.bins = 21; }), Split::train, 12);
  expect_same(with([](auto& o) { o.preemphasis = 0.5; }), Split::train, 12);
  expect_same(with([](auto& o) { o.normalise = "none"; }), Split::train, 12);
  const auto global = [](double mean, double std) {
    return [=](auto& o) { o.normalise = "global", o.mean = {mean}, o.std = {std}; };
  };
  expect_same(with(global(1, 2)), Split::train, 12);
  expect_same(with(global(1, 3)), Split::train, 12);
  expect_same(with(global(2, 3)), Split::train, 12);
  expect_same(with([](auto& o) { o.noise_db = 10; }), Split::test, 3);
  expect_same(with([](auto& o) { o.noise_db = 10, o.data_seed = 1; }), Split::test, 3);
  expect_same(with([](auto& o) { o.noise_db = 10; }), Split::train, 0);
  expect_same(with([](auto& o) { o.fast_share = 1; }), Split::train, 12);
  // Of each epoch's speeds; the masks come later.
  expect_same(with([](auto& o) { o.augment = true, o.speeds = {1}; }), Split::train, 0);
  expect_same(with([](auto& o) { o.augment = true, o.speeds = {0.9}; }), Split::train, 12);
  // A recording that changes.
  corpus.add("extra", "3.wav", "bcc", tone(0.9, 900));
  expect_same(plain, Split::train, 0);
}

/// 200 recordings at 0.3: 60, with a standard deviation of 6.5; five of them.
TEST(SpeechChanges, FastDraggers) {
  Corpus corpus;
  corpus.add("train", "a.wav", "ab", tone(0.5, 300, 8000), 8000);
  for (int k = 1; k < 200; ++k) corpus.add_line("train", "a.wav", "ab");
  corpus.add("train", "tight.wav", "abcabcabcab", tone(0.5, 300, 8000), 8000);
  corpus.add_line("test", "a.wav", "ab");
  const SpeechOptions options{
      .rate = 8000, .bins = 40, .augment = true, .spec_augment = false, .fast_share = 0.3};
  const Speech set = corpus.open(Split::train, options);
  int marked = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const Example example = set.get(i, 0);
    const int64_t frames = example.input.dim(0);
    EXPECT_EQ(example.marked, frames < 40);
    if (!example.marked) continue;
    ++marked;
    EXPECT_TRUE(frames >= 23 && frames <= 31) << frames;  // 0.25 to 0.33 seconds
    EXPECT_EQ(set.get(i, 7).input.dim(0), frames);
    EXPECT_EQ(example.target, (std::vector<int64_t>{1, 2}));
  }
  EXPECT_NEAR(marked, 60, 32);
  SpeechOptions every = options;
  every.fast_share = 1;
  EXPECT_TRUE(corpus.open(Split::train, every).get(5, 0).marked);
  EXPECT_FALSE(corpus.open(Split::train, every).get(200, 0).marked);  // would not fit
  EXPECT_FALSE(corpus.open(Split::test, every).get(0, 0).marked);
}

}  // namespace
}  // namespace minnow::data_test
