#include "data/word_pieces.h"

#include "tests/data/files.h"

namespace minnow::data_test {
namespace {

const std::vector<std::string> text = {"the cat sat on the mat", "the dog sat on the cat",
                                       "a cat and a dog and a mat", "that dog, that cat!"};

using Ids = std::vector<int64_t>;

class Types : public testing::TestWithParam<std::string> {};

TEST_P(Types, TextComesBackAndTrainingRepeats) {
  const WordPiecesOptions options{.vocabulary = 20, .type = GetParam()};
  const WordPieces pieces = WordPieces::train(text, options);
  EXPECT_EQ(pieces.size(), 20);
  ASSERT_EQ(pieces.pieces().size(), 20u);
  EXPECT_EQ(pieces.pieces()[WordPieces::kPadding], "<pad>");
  EXPECT_EQ(pieces.pieces()[WordPieces::kUnknown], "<unk>");
  for (const std::string& line : text) {
    const Ids ids = pieces.encode(line);
    EXPECT_LT(ids.size(), line.size());
    for (const int64_t id : ids) EXPECT_TRUE(id >= 2 && id < 20) << id;
    EXPECT_EQ(pieces.decode(ids), line);
  }
  EXPECT_EQ(WordPieces::train(text, options).save(), pieces.save());
  EXPECT_EQ(WordPieces::load(pieces.save()).encode(text[2]), pieces.encode(text[2]));
}

INSTANTIATE_TEST_SUITE_P(WordPieces, Types, testing::Values("bpe", "unigram"),
                         [](const auto& info) { return info.param; });

TEST(WordPieces, OddTexts) {
  const WordPieces pieces = WordPieces::train(text, {.vocabulary = 30});
  EXPECT_EQ(pieces.encode(""), Ids());
  EXPECT_EQ(pieces.encode("  the   cat "), pieces.encode("the cat"));
  EXPECT_EQ(pieces.encode("z").back(), WordPieces::kUnknown);
  EXPECT_EQ(pieces.encode("<pad>").back(), WordPieces::kUnknown);  // no text gives padding
  for (const int64_t id : pieces.encode("<pad> \xff\xfe the")) EXPECT_NE(id, WordPieces::kPadding);
  EXPECT_EQ(pieces.decode({}), "");
}

TEST(WordPieces, Errors) {
  const auto train = [](std::vector<std::string> lines, WordPiecesOptions options) {
    return [=] { WordPieces::train(lines, options); };
  };
  expect_error(train({}, {}), {"word pieces", "no text", "0 lines"});
  expect_error(train({" ", "\t"}, {}), {"no text", "2 lines"});
  expect_error(train(text, {.vocabulary = 2}), {"between 3 and", "got 2"});
  expect_error(train(text, {.vocabulary = 5}), {"word pieces: Vocabulary size is smaller", "5 vs"});
  expect_error(train(text, {.vocabulary = 5000}), {"word pieces: Vocabulary size too high (5000)"});
  expect_error(train(text, {.vocabulary = 30, .type = "word"}), {"bpe or unigram", "word"});
  expect_error(train(text, {.vocabulary = 30, .coverage = 0}), {"coverage", "(0, 1]"});
  const WordPieces pieces = WordPieces::train(text, {.vocabulary = 30});
  expect_error([&] { pieces.decode(Ids{3, 30}); }, {"there are 30", "id 30"});
  expect_error([&] { pieces.decode(Ids{-1}); }, {"id -1"});
}

TEST(WordPieces, DamagedBytesAreRefused) {
  const std::string saved = WordPieces::train(text, {.vocabulary = 30}).save();
  expect_error([] { WordPieces::load(""); }, {"0 bytes", "no saved word pieces"});
  expect_error([] { WordPieces::load(std::string(100, 'x')); }, {"no saved word pieces"});
  for (size_t i = 0; i < saved.size(); i += 7) {
    std::string damaged = saved;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_THROW(WordPieces::load(damaged), Error) << "byte " << i;
    EXPECT_THROW(WordPieces::load(saved.substr(0, i)), Error) << i << " bytes";
  }
}

TEST(WordPieces, SaysNothing) {
  testing::internal::CaptureStderr();
  WordPieces::train(text, {.vocabulary = 30});
  EXPECT_THROW(WordPieces::train(text, {.vocabulary = 5000}), Error);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace minnow::data_test
