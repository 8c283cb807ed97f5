#include "train/text_errors.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "kernels/random.h"
#include "tests/paths.h"

namespace minnow {
namespace {

using Tokens = std::vector<int64_t>;

void expect_counts(const ErrorCounts& actual, const ErrorCounts& expected) {
  EXPECT_EQ(actual.substitutions, expected.substitutions);
  EXPECT_EQ(actual.deletions, expected.deletions);
  EXPECT_EQ(actual.insertions, expected.insertions);
  EXPECT_EQ(actual.reference, expected.reference);
}

TEST(TextErrors, Kinds) {
  expect_counts(word_errors("a b c", "a x c"), {.substitutions = 1, .reference = 3});
  expect_counts(word_errors("a b c", "a c"), {.deletions = 1, .reference = 3});
  expect_counts(word_errors("a c", "a b c"), {.insertions = 1, .reference = 2});
  expect_counts(word_errors("a b c d", "x b d e f"),
                {.substitutions = 1, .deletions = 1, .insertions = 2, .reference = 4});
  // Two substitutions are as many errors, with no word right.
  expect_counts(word_errors("a b", "b c"), {.deletions = 1, .insertions = 1, .reference = 2});
}

TEST(TextErrors, EmptyTexts) {
  expect_counts(word_errors("", " "), {});
  EXPECT_EQ(word_errors("", "").rate(), 0);
  expect_counts(word_errors("a b", "\t"), {.deletions = 2, .reference = 2});
  EXPECT_EQ(word_errors("a b", "").rate(), 1);
  expect_counts(word_errors("", "a b"), {.insertions = 2});
  EXPECT_EQ(word_errors("", "a b").rate(), 2);
  EXPECT_EQ(character_errors("", "a b").rate(), 3);
}

TEST(TextErrors, Blanks) {
  EXPECT_EQ(words_of("\ta  bc\r\nd "), (std::vector<std::string_view>{"a", "bc", "d"}));
  EXPECT_EQ(single_spaced("\ta  bc\r\nd "), "a bc d");
  EXPECT_EQ(character_errors(" a  b\n", "a b").errors(), 0);
  expect_counts(character_errors("a b", "ab"), {.deletions = 1, .reference = 3});
}

TEST(TextErrors, CharactersAreCodePoints) {
  expect_counts(character_errors("größe", "grosse"),
                {.substitutions = 2, .insertions = 1, .reference = 5});
  // Bytes that are no UTF-8 are compared all the same.
  expect_counts(character_errors("a\xff\x80z", "a\xffz"), {.substitutions = 1, .reference = 3});
}

TEST(TextErrors, AsJiwerCounts) {
  const auto cases =
      nlohmann::json::parse(read_text_file(test::source_path("tests/golden/text_errors.json")));
  ASSERT_GT(cases.size(), 50u);
  for (const auto& one : cases) {
    const auto reference = one["reference"].get<std::string>();
    const auto hypothesis = one["hypothesis"].get<std::string>();
    const ErrorCounts words = word_errors(reference, hypothesis);
    const ErrorCounts characters = character_errors(reference, hypothesis);
    EXPECT_EQ((Tokens{words.errors(), words.reference}), one["words"].get<Tokens>()) << one;
    EXPECT_EQ((Tokens{characters.errors(), characters.reference}), one["characters"].get<Tokens>())
        << one;
  }
}

/// The fewest errors, and the fewest substitutions with so few errors, by trying everything.
ErrorCounts tried(std::span<const int64_t> a, std::span<const int64_t> b) {
  const int64_t n = std::ssize(a);
  if (a.empty() || b.empty()) return {.deletions = n, .insertions = std::ssize(b), .reference = n};
  ErrorCounts aligned = tried(a.subspan(1), b.subspan(1));
  ErrorCounts without = tried(a.subspan(1), b), with = tried(a, b.subspan(1));
  aligned.substitutions += a[0] == b[0] ? 0 : 1;
  ++without.deletions;
  ++with.insertions;
  ErrorCounts best = aligned;
  for (const ErrorCounts& other : {without, with}) {
    if (std::pair(other.errors(), other.substitutions) <
        std::pair(best.errors(), best.substitutions))
      best = other;
  }
  best.reference = n;
  return best;
}

TEST(TextErrors, BestOfAllAlignments) {
  RandomSequence random({.seed = 1});
  for (int i = 0; i < 300; ++i) {
    Tokens a(static_cast<size_t>(random.below(6))), b(static_cast<size_t>(random.below(6)));
    for (int64_t& token : a) token = random.below(3);
    for (int64_t& token : b) token = random.below(3);
    expect_counts(token_errors(a, b), tried(a, b));
  }
}

TEST(TextErrors, LongSequences) {
  Tokens a(5'000), b;
  for (int64_t i = 0; i < std::ssize(a); ++i) a[static_cast<size_t>(i)] = i;
  for (const int64_t token : a) {
    if (token % 100 != 0) b.push_back(token);
  }
  expect_counts(token_errors(a, b), {.deletions = 50, .reference = 5'000});
}

TEST(TextErrors, OverSentences) {
  TextScore score;
  score.add("one two", "one two");
  score.add("one two three", "one tow");
  score.add("", "so");
  EXPECT_EQ(score.sentences, 3);
  EXPECT_EQ(score.wrong_sentences, 2);
  expect_counts(score.words, {.substitutions = 1, .deletions = 1, .insertions = 1, .reference = 5});
  EXPECT_DOUBLE_EQ(score.words.rate(), 3.0 / 5);
  EXPECT_EQ(score.characters.reference, 7 + 13);
  EXPECT_EQ(score.characters.errors(), 0 + 7 + 2);  // "w" out, " " to "w", "three" out
  TextScore sum;
  sum.add("one", "two");
  sum += score;
  EXPECT_EQ(sum.sentences, 4);
  EXPECT_EQ(sum.wrong_sentences, 3);
  EXPECT_EQ(sum.words.reference, 6);
  EXPECT_EQ(sum.characters.reference, 3 + 7 + 13);
}

}  // namespace
}  // namespace minnow
