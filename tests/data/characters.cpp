#include "data/characters.h"

#include <gtest/gtest.h>

#include "nn/conformer.h"
#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

std::string joined(std::string_view text) {
  std::string all;
  for (const std::string& letter : letters_of(text)) all += "[" + letter + "]";
  return all;
}

TEST(Characters, LettersOfAText) {
  EXPECT_EQ(joined(" It'S \t\n a\x01"), "[i][t]['][s][ ][a]");
  EXPECT_EQ(joined(""), "");
  EXPECT_EQ(joined(" \t "), "");
  EXPECT_EQ(joined("ÄÖÜßé×ÑΩΣЯЁЖŁŽ…€"), "[ä][ö][ü][ß][é][×][ñ][ω][σ][я][ё][ж][ł][ž][…][€]");
  EXPECT_EQ(joined("a\u00a0\u3000b"), "[a][ ][b]");
  EXPECT_EQ(joined("日本\U0001F600"), "[日][本][\U0001F600]");
}

TEST(Characters, BytesThatAreNoUtf8) {
  for (const char* bytes :
       {"\x80", "a\xff", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xe2\x82", "\xc3(", "\xc1\xbf", "\xf0\x80\x80\x80"}) {
    expect_error([&] { letters_of(bytes); }, {"no UTF-8"});
  }
}

TEST(Characters, VocabularyAndTargets) {
  const std::vector<std::string> texts{"HE saw", "it's", "\xff", "élan"};
  const Characters characters(texts);
  EXPECT_EQ(characters.tokens(), (std::vector<std::string>{"<blank>", " ", "'", "a", "e", "h", "i",
                                                           "l", "n", "s", "t", "w", "é"}));
  std::string unknown;
  EXPECT_EQ(characters.encode("Eh, it", unknown), (std::vector<int64_t>{4, 5, 1, 6, 10}));
  EXPECT_EQ(unknown, ",");
  EXPECT_EQ(characters.encode("x a ö s - ", unknown), (std::vector<int64_t>{3, 1, 9}));
  EXPECT_EQ(unknown, ",xö-");
  EXPECT_EQ(characters.encode("", unknown), std::vector<int64_t>{});
  EXPECT_EQ(characters.encode("xyz", unknown), std::vector<int64_t>{});
  const std::vector<std::string> none{"", "\xff"};
  expect_error([&] { Characters{none}; }, {"no letter"});
}

TEST(Characters, FramesThatATargetNeeds) {
  EXPECT_EQ(frames_needed(std::vector<int64_t>{}), 0);
  EXPECT_EQ(frames_needed(std::vector<int64_t>{3, 1, 3}), 3);
  EXPECT_EQ(frames_needed(std::vector<int64_t>{2, 2, 2, 5, 5}), 8);
}

/// Windows of 3 in steps of 2, counted one by one, twice; and those of the model that is meant.
TEST(Characters, FourfoldSubsampling) {
  const nn::Conformer model({.features = 8, .dim = 4, .depth = 1, .heads = 1}, nn::Init(1));
  const auto windows = [](int64_t frames) {
    int64_t count = 0;
    for (int64_t begin = 0; begin + 3 <= frames; begin += 2) ++count;
    return count;
  };
  for (int64_t frames = 0; frames < 60; ++frames) {
    EXPECT_EQ(subsampled_frames(frames), windows(windows(frames))) << frames;
    EXPECT_EQ(subsampled_frames(frames), model.output_length(frames)) << frames;
  }
}

}  // namespace
}  // namespace minnow::data_test
