#include "train/ctc_decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>

#include "kernels/random.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "train/arpa.h"
#include "train/text_errors.h"

namespace minnow {
namespace {

using Tokens = std::vector<int64_t>;

/// Log-probabilities [T, classes] where each frame's class is likeliest.
std::vector<float> peaks(const Tokens& path, int64_t classes) {
  std::vector<float> values(path.size() * static_cast<size_t>(classes), -5.0f);
  for (size_t t = 0; t < path.size(); ++t)
    values[t * static_cast<size_t>(classes) + static_cast<size_t>(path[t])] = -0.1f;
  return values;
}

Tokens greedy(const Tokens& path) {
  return greedy_path(peaks(path, 4).data(), std::ssize(path), 4);
}

TEST(CtcDecode, GreedyCollapses) {
  EXPECT_EQ(greedy({}), Tokens{});
  EXPECT_EQ(greedy({0, 0, 0}), Tokens{});
  EXPECT_EQ(greedy({3}), Tokens{3});
  EXPECT_EQ(greedy({1, 1, 0, 1, 2, 2, 0, 0, 3, 3}), (Tokens{1, 1, 2, 3}));
  EXPECT_EQ(greedy({2, 1, 2}), (Tokens{2, 1, 2}));
  const std::vector<float> equal(6, -1.0f);  // the lowest class of equal ones: the blank
  EXPECT_EQ(greedy_path(equal.data(), 2, 3), Tokens{});
  EXPECT_EQ(greedy_path(equal.data(), 6, 1), Tokens{});
  expect_error([&] { greedy_path(equal.data(), 6, 0); }, {"greedy_path", "classes", "got 6 and 0"});
}

constexpr float never = -std::numeric_limits<float>::infinity();

/// Log-probabilities [frames, classes]; one in eight classes is impossible.
std::vector<float> random_log_probs(RandomSequence& random, int64_t frames, int64_t classes) {
  std::vector<float> values;
  for (int64_t i = 0; i < frames * classes; ++i)
    values.push_back(random.below(8) == 0 ? never : std::log((1 + random.below(100)) / 101.0f));
  for (int64_t t = 0; t < frames; ++t) values[t * classes + random.below(classes)] = -0.5f;
  return values;
}

/// The probability of every token sequence, from all classes^frames alignments one by one.
std::map<Tokens, double> all_sequences(const std::vector<float>& log_probs, int64_t frames,
                                       int64_t classes) {
  std::map<Tokens, double> sums;
  int64_t alignments = 1;
  for (int64_t t = 0; t < frames; ++t) alignments *= classes;
  for (int64_t code = 0; code < alignments; ++code) {
    Tokens tokens;
    double log_prob = 0;
    for (int64_t t = 0, rest = code, last = 0; t < frames; ++t, rest /= classes) {
      const int64_t c = rest % classes;
      log_prob += log_probs[static_cast<size_t>(t * classes + c)];
      if (c != 0 && c != last) tokens.push_back(c);
      last = c;
    }
    if (log_prob > never) sums[tokens] += std::exp(log_prob);
  }
  return sums;
}

/// The numbers are sums of fewer than 5000 positive terms, each off by a few roundings.
constexpr double rounding = 5000 * std::numeric_limits<double>::epsilon();

TEST(CtcDecode, WideBeamsAreExact) {
  RandomSequence random({.seed = 3});
  for (int64_t frames = 0; frames <= 6; ++frames) {
    for (int64_t classes = 1; classes <= 4; ++classes) {
      const auto log_probs = random_log_probs(random, frames, classes);
      const auto expected = all_sequences(log_probs, frames, classes);
      const auto best = beam_search(log_probs.data(), frames, classes, {.width = 5000});
      EXPECT_EQ(best.size(), expected.size());
      for (size_t i = 0; i < best.size(); ++i) {
        ASSERT_TRUE(expected.contains(best[i].tokens));
        EXPECT_NEAR(std::exp(best[i].score), expected.at(best[i].tokens), rounding);
        if (i > 0) {
          EXPECT_LE(best[i].score, best[i - 1].score);
        }
      }
    }
  }
}

/// A 3-gram model of the words that the letters a and b spell.
NgramModel small_model() {
  const TemporaryFolder folder;
  std::ofstream(folder / "m.arpa") << R"(
\data\
ngram 1=7
ngram 2=4
ngram 3=2

\1-grams:
-2.1 <unk>
-99 <s> -0.4
-0.9 </s>
-1.2 a -0.3
-0.7 b -0.6
-1.9 ab -0.2
-1.4 ba

\2-grams:
-0.2 <s> ab -0.5
-0.3 a b -0.1
-0.6 b a
-0.4 ba </s>

\3-grams:
-0.1 <s> ab a
-0.5 a b a
\end\
)";
  return NgramModel::read(folder / "m.arpa");
}

/// What the words of a text add; and its end, where it has come.
double words_score(const std::string& text, const BeamOptions& options, bool ends) {
  std::vector<std::string> history{"<s>"};
  double sum = 0;
  for (const std::string_view word : words_of(text)) {
    sum += options.word_bonus + options.weight * options.model->score(history, word);
    history.emplace_back(word);
  }
  return sum + (ends ? options.weight * options.model->score(history, "</s>") : 0);
}

/// The same for tokens that are single letters; without an end, its last word may go on.
double letters_score(const Tokens& ids, const BeamOptions& options, bool ends) {
  if (options.model == nullptr) return 0;
  std::string text;
  for (const int64_t id : ids) text += (*options.tokens)[static_cast<size_t>(id)];
  if (!ends) text.resize(text.rfind(' ') + 1);  // to nothing where there is none
  return words_score(text, options, ends);
}

/// Hannun's algorithm as he writes it, with whole prefixes as keys.
std::vector<Hypothesis> plain_search(const std::vector<float>& log_probs, int64_t frames,
                                     int64_t classes, const BeamOptions& options) {
  struct Sums {
    double blank = 0, token = 0;
  };
  const auto best_of = [&](const std::map<Tokens, Sums>& beam, bool ends) {
    std::vector<Hypothesis> all;
    for (const auto& [tokens, sums] : beam) {
      const double both = sums.blank + sums.token;
      if (both > 0) all.push_back({tokens, std::log(both) + letters_score(tokens, options, ends)});
    }
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return a.score > b.score; });
    all.resize(std::min(all.size(), static_cast<size_t>(options.width)));
    return all;
  };
  std::map<Tokens, Sums> beam{{{}, {.blank = 1}}};
  for (int64_t t = 0; t < frames; ++t) {
    std::map<Tokens, Sums> next;
    for (const auto& [tokens, sums] : beam) {
      for (int64_t c = 0; c < classes; ++c) {
        const double p = std::exp(static_cast<double>(log_probs[t * classes + c]));
        const bool again = !tokens.empty() && tokens.back() == c;
        Tokens longer = tokens;
        longer.push_back(c);
        if (c == 0) next[tokens].blank += (sums.blank + sums.token) * p;
        if (again) next[tokens].token += sums.token * p;
        if (c != 0) next[longer].token += (sums.blank + (again ? 0 : sums.token)) * p;
      }
    }
    beam.clear();
    for (const Hypothesis& kept : best_of(next, false)) beam[kept.tokens] = next[kept.tokens];
  }
  return best_of(beam, true);
}

TEST(CtcDecode, NarrowBeamsKeepWhatThePlainSearchKeeps) {
  const NgramModel model = small_model();
  const std::vector<std::string> tokens{"<blank>", " ", "a", "b", "c"};
  RandomSequence random({.seed = 4});
  for (int64_t run = 0; run < 400; ++run) {
    const int64_t frames = 1 + random.below(40), classes = 5;
    BeamOptions options{.width = 1 + random.below(6)};
    if (run % 2 == 1)
      options = {options.width, &model, random.uniform(0.2, 2), random.uniform(-2, 2), &tokens};
    std::vector<float> log_probs;
    for (int64_t i = 0; i < frames * classes; ++i)  // no two alike, so that the order is certain
      log_probs.push_back(static_cast<float>(-4 * random.uniform()));
    const auto expected = plain_search(log_probs, frames, classes, options);
    const auto best = beam_search(log_probs.data(), frames, classes, options);
    ASSERT_EQ(best.size(), expected.size());
    for (size_t i = 0; i < best.size(); ++i) {
      EXPECT_EQ(best[i].tokens, expected[i].tokens);
      // In each frame 2 * width roundings, of sums that stay under 40 * 4 for the frames and
      // under 40 * 500 for the words: unknown ones with every weight, at weight 2.
      EXPECT_NEAR(best[i].score, expected[i].score,
                  20'160 * 2 * 6 * 40 * std::numeric_limits<double>::epsilon());
    }
  }
}

TEST(CtcDecode, WideBeamsWithAModelAreExact) {
  const NgramModel model = small_model();
  RandomSequence random({.seed = 5});
  const std::vector<std::vector<std::string>> vocabularies{
      {"<blank>", " ", "a", "b"}, {"<blank>", "▁a", "b", "▁"}, {"<blank>", "▁ab", "▁b", "a"}};
  for (const auto& tokens : vocabularies) {
    for (int64_t frames = 0; frames <= 6; ++frames) {
      const auto log_probs = random_log_probs(random, frames, 4);
      const auto expected = all_sequences(log_probs, frames, 4);
      const BeamOptions options{
          .width = 5000, .model = &model, .weight = 0.7, .word_bonus = 1.3, .tokens = &tokens};
      const auto best = beam_search(log_probs.data(), frames, 4, options);
      EXPECT_EQ(best.size(), expected.size());
      for (size_t i = 0; i < best.size(); ++i) {
        const double words = words_score(text_of(best[i].tokens, tokens), options, true);
        EXPECT_NEAR(std::exp(best[i].score - words), expected.at(best[i].tokens), 2 * rounding);
        if (i > 0) {
          EXPECT_LE(best[i].score, best[i - 1].score);
        }
      }
    }
  }
}

// "b b" is heard a little better than "a b": e^0.4 times. By the model the latter is 10^0.4 times
// as probable: a 2-gram against a back-off.
TEST(CtcDecode, AModelDecidesBetweenWords) {
  const NgramModel model = small_model();
  const std::vector<std::string> tokens{"<blank>", " ", "a", "b"};
  const std::vector<float> log_probs{never, never, -0.9f, -0.5f,  //
                                     -5,    -0.1f, never, never,  //
                                     never, never, never, 0};
  const auto text = [&](const BeamOptions& options) {
    return text_of(beam_search(log_probs.data(), 3, 4, options).at(0).tokens, tokens);
  };
  EXPECT_EQ(text({}), "b b");
  EXPECT_EQ(text({.model = &model, .weight = 0, .tokens = &tokens}), "b b");
  EXPECT_EQ(text({.model = &model, .weight = 0.3, .tokens = &tokens}), "b b");
  EXPECT_EQ(text({.model = &model, .tokens = &tokens}), "a b");
  EXPECT_EQ(text({.word_bonus = -9, .tokens = &tokens}), "bb");
}

TEST(CtcDecode, AModelNeedsTokens) {
  const NgramModel model = small_model();
  const std::vector<float> log_probs(3, -1.0f);
  const auto search = [&](const BeamOptions& options) {
    beam_search(log_probs.data(), 1, 3, options);
  };
  const std::vector<std::string> two{"<blank>", "a"}, inside{"<blank>", "a", "▁a▁b"};
  EXPECT_NO_THROW(search({.tokens = &inside}));
  expect_error([&] { search({.model = &model}); }, {"a token for each of 3", "got 0"});
  expect_error([&] { search({.word_bonus = 1, .tokens = &two}); }, {"a token for each", "got 2"});
  expect_error([&] { search({.model = &model, .tokens = &inside}); }, {"token 2 is '▁a▁b'"});
  expect_error([&] { search({.weight = std::nan("")}); }, {"weight", "nan"});
}

TEST(CtcDecode, BeamOfOne) {
  for (const Tokens& path : {Tokens{}, {0, 0}, {3}, {1, 1, 0, 1, 2, 2, 0, 0, 3, 3}, {2, 1, 2}}) {
    const auto best = beam_search(peaks(path, 4).data(), std::ssize(path), 4, {.width = 1});
    ASSERT_EQ(best.size(), 1u);
    EXPECT_EQ(best[0].tokens, greedy(path));
  }
}

TEST(CtcDecode, BeamSearchAddsAlignmentsUp) {
  // The best path has two blanks, 0.36; "a" has three alignments, 0.64.
  const std::vector<float> log_probs{std::log(0.6f), std::log(0.4f), std::log(0.6f),
                                     std::log(0.4f)};
  EXPECT_EQ(greedy_path(log_probs.data(), 2, 2), Tokens{});
  const auto best = beam_search(log_probs.data(), 2, 2, {});
  ASSERT_EQ(best.size(), 2u);
  EXPECT_EQ(best[0].tokens, Tokens{1});
  EXPECT_NEAR(std::exp(best[0].score), 0.64, 1e-6);
  EXPECT_NEAR(std::exp(best[1].score), 0.36, 1e-6);
}

TEST(CtcDecode, BeamSearchRefuses) {
  std::vector<float> log_probs(6, -1.0f);
  const auto search = [&](int64_t width) { beam_search(log_probs.data(), 2, 3, {.width = width}); };
  EXPECT_NO_THROW(search(1));
  expect_error([&] { search(0); }, {"width", "got 0"});
  log_probs[5] = std::nanf("");
  expect_error([&] { search(2); }, {"class 2 of frame 1", "nan"});
  log_probs[5] = -never;
  expect_error([&] { search(2); }, {"class 2 of frame 1", "inf"});
  log_probs.assign(6, never);
  log_probs[1] = 0;
  expect_error([&] { search(2); }, {"frame 1", "no token sequence possible"});
}

TEST(CtcDecode, TextOfCharacters) {
  const std::vector<std::string> tokens{"<blank>", " ", "'", "a", "é"};
  EXPECT_EQ(text_of({}, tokens), "");
  EXPECT_EQ(text_of({3, 2, 4, 1, 3}, tokens), "a'é a");
  EXPECT_EQ(text_of({1, 3, 1, 1, 3, 1}, tokens), "a a");
  EXPECT_EQ(text_of({3, 0, 0}, tokens), "a");
  expect_error([&] { text_of({5}, tokens); }, {"text_of", "[0, 5)", "got 5"});
  expect_error([&] { text_of({-1}, tokens); }, {"text_of", "got -1"});
}

TEST(CtcDecode, TextOfPieces) {
  const std::vector<std::string> tokens{"<blank>", "▁", "▁he", "llo", "▁a▁b"};
  EXPECT_EQ(text_of({2, 3, 2, 4}, tokens), "hello he a b");
  EXPECT_EQ(text_of({1, 3}, tokens), "llo");
  EXPECT_EQ(text_of({3, 1}, tokens), "llo");
}

}  // namespace
}  // namespace minnow
