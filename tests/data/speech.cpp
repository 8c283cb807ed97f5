#include "data/speech.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tests/data/corpus.h"

namespace minnow::data_test {
namespace {

namespace fs = std::filesystem;

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

TEST(Speech, GlobalNormalisation) {
  Corpus corpus;
  fill(corpus);
  std::vector<double> means, deviations;
  for (int k = 0; k < 40; ++k) {
    means.push_back(0.25 * k - 7);
    deviations.push_back(1 + 0.5 * k);
  }
  const auto features = [&](const SpeechOptions& options) {
    return corpus.open(Split::train, options).get(3, 0).input.to_vector<float>();
  };
  const std::vector<float> raw = features({.bins = 40, .normalise = "none"});
  const std::vector<float> each =
      features({.bins = 40, .normalise = "global", .mean = means, .std = deviations});
  const std::vector<float> all =
      features({.bins = 40, .normalise = "global", .mean = {-3}, .std = {2}});
  for (size_t i = 0; i < raw.size(); ++i) {
    EXPECT_FLOAT_EQ(each[i], (raw[i] - means[i % 40]) / deviations[i % 40]);
    EXPECT_FLOAT_EQ(all[i], (raw[i] + 3) / 2);
  }
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

TEST(Speech, Errors) {
  const auto refused = [](SpeechOptions options, const std::vector<std::string>& parts) {
    expect_error([&] { check_options(options); }, parts);
  };
  refused({.rate = 10}, {"rate", "10"});
  refused({.bins = 0}, {"bins", "0"});
  refused({.bins = 500}, {"500 bins"});
  refused({.preemphasis = 2}, {"preemphasis", "2"});
  refused({.normalise = "channel"}, {"normalise", "utterance, global or none", "channel"});
  refused({.normalise = "global"}, {"data.mean", "each of 80 bins", "got 0"});
  refused({.normalise = "global", .mean = {1}, .std = {1, 2}}, {"data.std", "got 2"});
  refused({.normalise = "global", .mean = {1}, .std = {0}}, {"data.std", "positive"});
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
