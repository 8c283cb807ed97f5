#include "data/speech.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <set>

#include "data/characters.h"
#include "data/loader.h"
#include "tests/data/files.h"
#include "tests/data/sound.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

/// A tone that rises by half.
std::vector<float> tone(double seconds, double hertz, int rate = 16000) {
  std::vector<float> samples;
  const auto n = std::llround(seconds * rate);
  for (int64_t t = 0; t < n; ++t) {
    const double time = static_cast<double>(t) / rate;
    samples.push_back(
        static_cast<float>(0.3 * std::sin(6.2832 * hertz * time * (1 + 0.25 * time / seconds))));
  }
  return samples;
}

/// A folder with manifests and WAV files.
class Corpus {
 public:
  fs::path path() const { return folder_.path(); }

  void add(const std::string& list, const std::string& name, const std::string& text,
           const std::vector<float>& samples, int rate = 16000, const std::string& more = "") {
    write_sound(path() / name, samples, SF_FORMAT_WAV | SF_FORMAT_FLOAT, rate);
    add_line(list, name, text, more);
  }
  void add_line(const std::string& list, const std::string& name, const std::string& text,
                const std::string& more = "") {
    std::string& lines = lists_[list];
    lines += fmt::format("{{\"audio\": \"{}\", \"text\": \"{}\"{}}}\n", name, text, more);
    write_file(path() / (list + ".json"), Bytes(lines.begin(), lines.end()));
  }
  Speech open(Split split, SpeechOptions options = {}) const {
    return Speech("manifest", path().string(), split, std::move(options));
  }

 private:
  TemporaryFolder folder_;
  std::map<std::string, std::string> lists_;
};

/// Twelve tones of 0.5 to 1.6 seconds to train with and three for the test.
void fill(Corpus& corpus) {
  for (int k = 0; k < 12; ++k) {
    const std::vector<float> sound = tone(0.5 + 0.1 * k, 200 + 50 * k);
    corpus.add("train", fmt::format("{}.wav", k), k % 2 == 0 ? "ab a" : "Bcc", sound, 16000,
               k % 3 == 0 ? ", \"domain\": \"tv\"" : "");
  }
  for (int k = 0; k < 3; ++k) {
    corpus.add("test", fmt::format("t{}.wav", k), "abc", tone(0.7, 300 + k));
  }
}

bool warns(const Dataset& set, const std::vector<std::string>& parts) {
  const std::vector<std::string> lines = set.warnings();
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
    return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
      return line.find(part) != std::string::npos;
    });
  });
}

TEST(Speech, ExamplesAreFeaturesAndLetters) {
  Corpus corpus;
  fill(corpus);
  const Speech set = corpus.open(Split::train, {.bins = 40});
  ASSERT_EQ(set.size(), 12);
  EXPECT_EQ(set.classes(), (std::vector<std::string>{"<blank>", " ", "a", "b", "c"}));
  EXPECT_EQ(set.domains(), (std::vector<std::string>{"all", "tv"}));
  EXPECT_TRUE(set.ragged() && set.transcribed() && set.warnings().empty());
  for (int64_t i = 0; i < 12; ++i) {
    const Example example = set.get(i, 3);
    EXPECT_EQ(example.input.shape(), (Shape{48 + 10 * i, 40}));  // (length - 25 ms) / 10 ms + 1
    EXPECT_EQ(set.length(i), 48 + 10 * i);
    EXPECT_EQ(example.id, i);
    EXPECT_EQ(example.domain, i % 3 == 0 ? 1 : 0);
    EXPECT_FALSE(example.marked);
    EXPECT_EQ(example.target,
              i % 2 == 0 ? (std::vector<int64_t>{2, 3, 1, 2}) : (std::vector<int64_t>{3, 4, 4}));
    EXPECT_EQ(set.transcript(i), example.target);
    // The same features as those of the file read by hand.
    const Audio audio = read_audio(corpus.path() / fmt::format("{}.wav", i));
    const Tensor features = log_mel(audio.samples, {.bins = 40});
    normalise_bins(features);
    EXPECT_EQ(bytes_of(example.input), bytes_of(features));
  }
  const Speech test = corpus.open(Split::test);
  EXPECT_EQ(test.get(1, 0).id, kFirstTestId + 1);
  EXPECT_EQ(test.classes(), set.classes());
  EXPECT_EQ(test.domains(), set.domains());
  EXPECT_EQ(test.get(1, 0).target, (std::vector<int64_t>{2, 3, 4}));
}

/// Each is left out with a reason, whether all is decoded at once or not.
TEST(Speech, WhatCannotBeUsedIsLeftOutAndNamed) {
  Corpus corpus;
  fill(corpus);
  corpus.add_line("train", "missing.wav", "a");
  corpus.add_line("train", "empty.wav", "a");
  write_file(corpus.path() / "empty.wav", {});
  corpus.add_line("train", "text.wav", "a");
  write_file(corpus.path() / "text.wav", {'h', 'e', 'l', 'l', 'o'});
  corpus.add("train", "silent.wav", "a", {});
  corpus.add("train", "long.wav", "a", tone(2.1, 300));
  corpus.add("train", "wordless.wav", " ", tone(1, 300));
  // 14 subsampled frames at most: 0.7 s are 68 frames, and of these 16 are left.
  corpus.add("train", "short.wav", "abcabcabcabcabcabc", tone(0.7, 300));
  corpus.add("train", "repeats.wav", "aaaaaaaaa", tone(0.7, 300));
  corpus.add("train", "enough.wav", "aaaaaaaab", tone(0.7, 300));
  std::vector<float> bad(16000, 0.1f);
  bad[9000] = std::numeric_limits<float>::quiet_NaN();
  corpus.add("train", "nan.wav", "a", bad);
  for (const int64_t cache : {int64_t{0}, int64_t{1} << 30}) {
    const SpeechOptions options{.most_seconds = 2, .cache_bytes = cache};
    const Speech set = corpus.open(Split::train, options);
    EXPECT_EQ(set.size(), cache == 0 ? 14 : 13);
    EXPECT_EQ(set.warnings().size(), cache == 0 ? 8u : 9u);
    EXPECT_TRUE(warns(set, {"missing.wav"}));
    EXPECT_TRUE(warns(set, {"empty.wav", "empty"}));
    EXPECT_TRUE(warns(set, {"text.wav"}));
    EXPECT_TRUE(warns(set, {"silent.wav"}));
    EXPECT_TRUE(warns(set, {"long.wav", "2.1 seconds", "2"}));
    EXPECT_TRUE(warns(set, {"wordless.wav", "transcript is empty"}));
    EXPECT_TRUE(warns(set, {"short.wav", "68 frames", "leaves 16", "18 are needed"}));
    EXPECT_TRUE(warns(set, {"repeats.wav", "17 are needed"}));
    // Read when it is asked for: the next one comes in its place.
    const Example last = set.get(set.size() - 1, 0);
    EXPECT_EQ(last.id, cache == 0 ? 0 : 20);
    EXPECT_TRUE(warns(set, {"nan.wav"}));
    EXPECT_EQ(set.warnings().size(), 9u);
    set.get(set.size() - 1, 1);
    EXPECT_EQ(set.warnings().size(), 9u);  // told once
  }
}

TEST(Speech, OneMissingAmongThousands) {
  Corpus corpus;
  corpus.add("test", "a.wav", "a", tone(0.3, 300));
  std::string lines;
  for (int k = 0; k < 2000; ++k) {
    lines += fmt::format("{{\"audio\": \"{}.wav\", \"text\": \"a\"}}\n", k == 700 ? 'b' : 'a');
  }
  write_file(corpus.path() / "train.json", Bytes(lines.begin(), lines.end()));
  const Speech set = corpus.open(Split::train, {.cache_bytes = 0});
  EXPECT_EQ(set.size(), 1999);
  ASSERT_EQ(set.warnings().size(), 1u);
  EXPECT_TRUE(warns(set, {"b.wav"}));
  EXPECT_EQ(set.get(700, 0).id, 701);  // the ids of the others stay
}

TEST(Speech, NothingLeft) {
  Corpus corpus;
  corpus.add_line("train", "missing.wav", "a");
  expect_error([&] { corpus.open(Split::train); }, {"none of the 1", "missing.wav"});
}

TEST(Speech, LettersThatTheVocabularyLacks) {
  Corpus corpus;
  fill(corpus);
  corpus.add("test", "odd.wav", "É a-x  b", tone(0.7, 300));
  corpus.add("test", "none.wav", "X", tone(0.7, 300));
  const Speech test = corpus.open(Split::test);
  ASSERT_EQ(test.size(), 5);
  EXPECT_EQ(test.get(3, 0).target, (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ(test.get(3, 0).text, "é a-x b");
  EXPECT_EQ(test.get(4, 0).target, std::vector<int64_t>{});
  EXPECT_EQ(test.get(4, 0).text, "x");
  EXPECT_TRUE(test.warnings().empty());
  EXPECT_EQ(test.notices(),
            std::vector<std::string>{
                "2 transcripts have letters that the training transcripts lack: - x é"});
  EXPECT_TRUE(corpus.open(Split::train).notices().empty());
}

/// What is measured on is told at once, and nothing takes the place of what was there.
TEST(Speech, ADamagedTestFileIsNeverReplaced) {
  Corpus corpus;
  fill(corpus);
  std::vector<float> bad(16000, 0.1f);
  bad[9000] = std::numeric_limits<float>::quiet_NaN();
  corpus.add("test", "nan.wav", "a", bad);
  const Speech test = corpus.open(Split::test, {.cache_bytes = 0});
  EXPECT_EQ(test.size(), 3);
  EXPECT_TRUE(warns(test, {"nan.wav"}));
  write_file(corpus.path() / "t1.wav", {'g', 'o', 'n', 'e'});
  expect_error([&] { test.get(1, 0); }, {"t1.wav"});
  // The same where training examples are measured on.
  corpus.add("train", "nan.wav", "a", bad);
  const Speech train = corpus.open(Split::train, {.strict = true, .cache_bytes = 0});
  ASSERT_EQ(train.size(), 13);
  expect_error([&] { train.get(12, 0); }, {"nan.wav"});
}

/// The splits have the same pieces; CTC needs frames for these, not for letters.
TEST(Speech, WordPieces) {
  Corpus corpus;
  fill(corpus);
  // 18 frames leave 3 after the subsampling: enough for two pieces, too few for four letters.
  corpus.add("train", "short.wav", "bcc bcc", tone(0.195, 300));
  SpeechOptions options{.pieces = {.vocabulary = 11}};
  EXPECT_TRUE(warns(corpus.open(Split::train, options), {"short.wav", "leaves 3"}));
  options.tokens = "pieces";
  const Speech train = corpus.open(Split::train, options), test = corpus.open(Split::test, options);
  EXPECT_EQ(train.size(), 13);
  EXPECT_EQ(train.classes().size(), 10u);
  EXPECT_EQ(test.classes(), train.classes());
  for (const Speech* set : {&train, &test}) {
    for (int64_t i = 0; i < set->size(); ++i) {
      std::string text;
      for (int64_t token : set->get(i, 0).target) text += set->classes()[token];
      for (size_t at; (at = text.find("\u2581")) != std::string::npos;) text.replace(at, 3, " ");
      EXPECT_EQ(text, set == &test ? " abc" : i == 12 ? " bcc bcc" : i % 2 == 0 ? " ab a" : " bcc");
    }
  }
}

/// At 8 kHz in the file, at 16 kHz in the features, and the other way round.
TEST(Speech, OtherRatesAreResampled) {
  Corpus corpus;
  corpus.add("train", "a.wav", "a", tone(1, 300, 8000), 8000);
  corpus.add("train", "b.wav", "a", tone(1, 300, 44100), 44100);
  for (const int64_t rate : {8000, 16000, 22050}) {
    const Speech set = corpus.open(Split::train, {.rate = rate, .bins = 40});
    for (int64_t i : {0, 1}) {
      EXPECT_NEAR(static_cast<double>(set.length(i)), 98, 1) << rate;
      EXPECT_EQ(set.get(i, 0).input.shape(), (Shape{set.length(i), 40}));
    }
  }
}

/// One second has 98 frames at its own speed, 109 or 89 to 90 at the others. Over 300 epochs each
/// comes up 100 times, with a standard deviation of 8.2; five of them.
TEST(Speech, SpeedsAreDrawnByEpoch) {
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

TEST(Speech, OnlyTheTrainSplitIsAugmented) {
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
TEST(Speech, MasksHoldTheMean) {
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

TEST(Speech, NoiseComesIntoTheTestSplitOnly) {
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
TEST(Speech, WorkersChangeNothing) {
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
TEST(Speech, FeaturesAreKeptInAFolder) {
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
TEST(Speech, FastDraggers) {
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

TEST(Speech, Errors) {
  const auto refused = [](SpeechOptions options, const std::vector<std::string>& parts) {
    expect_error([&] { check_options(options); }, parts);
  };
  refused({.rate = 10}, {"rate", "10"});
  refused({.bins = 0}, {"bins", "0"});
  refused({.bins = 500}, {"500 bins"});
  refused({.preemphasis = 2}, {"preemphasis", "2"});
  refused({.normalise = "global"}, {"normalise", "utterance or none", "global"});
  refused({.tokens = "words"}, {"tokens", "characters or pieces", "words"});
  refused({.most_seconds = 0}, {"most_seconds"});
  refused({.speeds = {}}, {"speeds"});
  refused({.speeds = {1, 2}}, {"speeds", "0.8 to 1.25", "2"});
  refused({.noise_db = std::nan("")}, {"data.noise"});
  refused({.fast_share = 1.5}, {"data.draggers", "1.5"});
  check_options({});
  check_options({.rate = 8000});
  check_options({.rate = 48000});
}

/// The real AN4, where it is.
TEST(Speech, An4) {
  const char* root = std::getenv("MINNOW_DATA");
  const fs::path path = fs::path(root == nullptr ? "" : root) / "an4-flac";
  if (root == nullptr || !fs::exists(path)) GTEST_SKIP() << "needs MINNOW_DATA/an4-flac";
  const Speech train("an4", path.string(), Split::train, {.cache_bytes = 0});
  const Speech test("an4", path.string(), Split::test, {});
  EXPECT_EQ(train.size(), 948);
  EXPECT_EQ(test.size(), 130);
  EXPECT_TRUE(train.warnings().empty() && test.warnings().empty());
  EXPECT_EQ(train.classes().size(), 28u);  // <blank>, " ", a .. z
  std::string text;
  for (int64_t token : test.transcript(0)) text += test.classes()[static_cast<size_t>(token)];
  EXPECT_EQ(text, "rubout g m e f three nine");
  for (int64_t i = 0; i < test.size(); ++i) {
    EXPECT_EQ(test.get(i, 0).input.dim(0), test.length(i));
  }
}

}  // namespace
}  // namespace minnow::data_test
