#include "data/transcript_pieces.h"

#include <algorithm>

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

const std::vector<std::string> text = {"THE CAT sat on the mat", "the dog sat on the cat",
                                       "a cat  and a dog and a mat", "that dog, that cat",
                                       "\xff is no letter"};

class Kinds : public testing::TestWithParam<std::string> {
 protected:
  TranscriptPieces pieces(int64_t vocabulary = 20) const {
    return {text, {.vocabulary = vocabulary, .type = GetParam()}};
  }
};

INSTANTIATE_TEST_SUITE_P(TranscriptPieces, Kinds, testing::Values("bpe", "unigram"),
                         [](const auto& info) { return info.param; });

TEST_P(Kinds, TranscriptsComeBack) {
  const TranscriptPieces pieces = this->pieces();
  const std::vector<std::string>& tokens = pieces.tokens();
  ASSERT_EQ(tokens.size(), 19u);  // 20 with the one for what cannot be spelt
  EXPECT_EQ(tokens.front(), "<blank>");
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), "<unk>"), 0);
  const auto begins = [](const std::string& token) { return token.starts_with("\u2581"); };
  EXPECT_GE(std::count_if(tokens.begin(), tokens.end(), begins), 2);
  const auto back = [&](const std::string& transcript) {
    std::string unknown, joined;
    const std::vector<int64_t> target = pieces.encode(transcript, unknown);
    EXPECT_EQ(unknown, "");
    EXPECT_LT(target.size(), transcript.size());
    for (const int64_t token : target) {
      EXPECT_TRUE(token > 0 && token < 19) << token;
      joined += tokens[static_cast<size_t>(token)];
    }
    for (size_t at; (at = joined.find("\u2581")) != std::string::npos;) joined.replace(at, 3, " ");
    return joined;
  };
  EXPECT_EQ(back("the cat sat on the mat"), " the cat sat on the mat");
  EXPECT_EQ(back(" That  DOG,\tthat cat "), " that dog, that cat");
}

TEST_P(Kinds, LearntAgainTheyAreTheSame) {
  const TranscriptPieces once = pieces();
  std::vector<std::string> other = text;
  other.front() += " again";
  EXPECT_NE(TranscriptPieces(other, {.vocabulary = 20, .type = GetParam()}).tokens(),
            once.tokens());
  EXPECT_EQ(pieces().tokens(), once.tokens());
  EXPECT_NE(pieces(18).tokens(), once.tokens());
}

TEST_P(Kinds, LettersThatNoPieceSpells) {
  const TranscriptPieces pieces = this->pieces();
  std::string unknown, none;
  EXPECT_EQ(pieces.encode("the z cat x!", unknown), pieces.encode("the cat", none));
  EXPECT_EQ(unknown, "zx!");
  EXPECT_EQ(none, "");
  EXPECT_TRUE(pieces.encode("zz", unknown).empty());
  EXPECT_TRUE(pieces.encode("", unknown).empty());
  EXPECT_TRUE(pieces.encode("<unk>", none).size() < 3 && none == "<uk>") << none;
  EXPECT_THROW(pieces.encode("\xff", unknown), Error);
}

TEST_P(Kinds, Errors) {
  const auto of = [&](std::vector<std::string> lines, int64_t vocabulary) {
    return [=] { TranscriptPieces(lines, {.vocabulary = vocabulary, .type = GetParam()}); };
  };
  expect_error(of(text, 4000), {"data.vocabulary", "4000 pieces", "4 training transcripts"});
  expect_error(of(text, 5), {"data.vocabulary", "5 pieces"});
  expect_error(of({"\xff"}, 20), {"data.vocabulary", "no text"});
}

}  // namespace
}  // namespace minnow::data_test
