#include "train/ctc_decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "kernels/random.h"
#include "tests/expect_error.h"

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

/// Hannun's algorithm as he writes it, with whole prefixes as keys.
std::vector<Hypothesis> plain_search(const std::vector<float>& log_probs, int64_t frames,
                                     int64_t classes, size_t width) {
  struct Sums {
    double blank = 0, token = 0;
  };
  std::map<Tokens, Sums> beam{{{}, {.blank = 1}}};
  std::vector<std::pair<double, Tokens>> order{{1, {}}};
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
    order.clear();
    for (const auto& [tokens, sums] : next) {
      const double both = sums.blank + sums.token;
      if (both > 0) order.emplace_back(both, tokens);
    }
    std::sort(order.rbegin(), order.rend());
    order.resize(std::min(order.size(), width));
    beam.clear();
    for (const auto& [p, tokens] : order) beam[tokens] = next[tokens];
  }
  std::vector<Hypothesis> all;
  for (const auto& [p, tokens] : order) all.push_back({tokens, std::log(p)});
  return all;
}

TEST(CtcDecode, NarrowBeamsKeepWhatThePlainSearchKeeps) {
  RandomSequence random({.seed = 4});
  for (int64_t run = 0; run < 200; ++run) {
    const int64_t frames = 1 + random.below(40), classes = 2 + random.below(4);
    const int64_t width = 1 + random.below(6);
    std::vector<float> log_probs;
    for (int64_t i = 0; i < frames * classes; ++i)  // no two alike, so that the order is certain
      log_probs.push_back(static_cast<float>(-4 * random.uniform()));
    const auto expected = plain_search(log_probs, frames, classes, static_cast<size_t>(width));
    const auto best = beam_search(log_probs.data(), frames, classes, {.width = width});
    ASSERT_EQ(best.size(), expected.size());
    for (size_t i = 0; i < best.size(); ++i) {
      EXPECT_EQ(best[i].tokens, expected[i].tokens);
      // Every frame adds at most 2 * width roundings of logarithms that stay under 200.
      EXPECT_NEAR(best[i].score, expected[i].score,
                  200 * 2 * 6 * 40 * std::numeric_limits<double>::epsilon());
    }
  }
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
