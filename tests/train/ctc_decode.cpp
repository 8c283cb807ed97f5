#include "train/ctc_decode.h"

#include <gtest/gtest.h>

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
