#include "train/arpa.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"

namespace minnow {
namespace {

constexpr double ln10 = std::numbers::ln10;

/// A small model, one string a line.
const std::vector<std::string> lines{"what stands before is not read: \\end\\",  //
                                     "\\data\\",
                                     "ngram 1=5",
                                     "ngram 2=2",
                                     "",
                                     "\\1-grams:",  // line 6
                                     "-1.0 <unk>",
                                     "-99 <s> -0.5",
                                     "-1.5 </s>",
                                     "-0.5\tA\t-0.25",
                                     "-0.75 b",
                                     "",
                                     "\\2-grams:",  // line 13
                                     "-0.125 <s> A",
                                     "-0.25 A b 0",
                                     "\\end\\"};  // line 16

class Arpa : public ::testing::Test {
 protected:
  std::filesystem::path written(const std::vector<std::string>& text) const {
    std::ofstream file(folder_ / "m.arpa");
    for (const std::string& line : text) file << line << '\n';
    return folder_ / "m.arpa";
  }
  /// The model with one line (from 1) replaced, or left out where there is no text.
  NgramModel with(size_t line, const std::optional<std::string>& text) const {
    std::vector<std::string> changed = lines;
    const auto at = changed.begin() + static_cast<int64_t>(line) - 1;
    if (text) {
      *at = *text;
    } else {
      changed.erase(at);
    }
    return NgramModel::read(written(changed));
  }
  void expect_refused(size_t line, const std::optional<std::string>& text,
                      std::initializer_list<std::string> parts) const {
    expect_error([&] { with(line, text); }, parts);
  }

  TemporaryFolder folder_;
};

TEST_F(Arpa, BacksOff) {
  const NgramModel model = NgramModel::read(written(lines));
  EXPECT_EQ(model.order(), 2);
  EXPECT_EQ(model.size(), 5);
  EXPECT_EQ(model.id("a"), model.id("<unk>"));
  EXPECT_DOUBLE_EQ(model.score({}, "A"), -0.5 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"<s>"}, "A"), -0.125 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"<s>"}, "b"), (-0.5 - 0.75) * ln10);
  EXPECT_DOUBLE_EQ(model.score({"b"}, "A"), -0.5 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"A"}, "zebra"), (-0.25 - 1) * ln10);
  EXPECT_DOUBLE_EQ(model.score({"zebra"}, "b"), -0.75 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"b", "<s>", "A"}, "b"), -0.25 * ln10);  // the last word counts
  const std::vector<int64_t> history{5};
  expect_error([&] { model.score(history, 0); }, {"NgramModel", "[0, 5)", "0 after 5"});
  expect_error([&] { model.score(std::vector<int64_t>{}, -1); }, {"NgramModel", "got -1"});
}

TEST_F(Arpa, LowerCase) {
  const NgramModel model = NgramModel::read(written(lines), true);
  EXPECT_DOUBLE_EQ(model.score({"<s>"}, "a"), -0.125 * ln10);
  EXPECT_EQ(model.id("A"), model.id("<unk>"));
  auto accents = lines;
  accents[9] = "-0.5 \u00C9A";
  accents[13] = "-0.125 <s> \u00C9A";
  accents[14] = "-0.25 \u00C9A b";
  EXPECT_DOUBLE_EQ(NgramModel::read(written(accents), true).score({"<s>"}, "\u00E9a"),
                   -0.125 * ln10);
  accents[9] = "-0.5 \xC9";
  expect_error([&] { NgramModel::read(written(accents), true); }, {"m.arpa:10:", "no UTF-8"});
}

TEST_F(Arpa, WordsThatDifferInCaseAreOne) {
  auto text = lines;
  text[2] = "ngram 1=6";
  text[3] = "ngram 2=3";
  text.insert(text.begin() + 10, "-0.375 a -0.0625");  // after A
  text.insert(text.end() - 1, "-0.5 <s> a");           // after <s> A
  const NgramModel model = NgramModel::read(written(text), true);
  EXPECT_EQ(model.size(), 5);
  EXPECT_DOUBLE_EQ(model.score({}, "a"), -0.375 * ln10);                // the second is likelier
  EXPECT_DOUBLE_EQ(model.score({"a"}, "zebra"), (-0.0625 - 1) * ln10);  // with its weight
  EXPECT_DOUBLE_EQ(model.score({"<s>"}, "a"), -0.125 * ln10);           // the first is
  EXPECT_EQ(NgramModel::read(written(text)).size(), 6);
}

TEST_F(Arpa, UnknownWords) {
  EXPECT_DOUBLE_EQ(with(7, "-1.0 <UNK>").score({}, "zebra"), -1 * ln10);
  const NgramModel without = with(7, "-1.0 c");
  EXPECT_DOUBLE_EQ(without.score({}, "zebra"), -100 * ln10);
  EXPECT_DOUBLE_EQ(without.score({"A"}, "zebra"), -100.25 * ln10);
  EXPECT_EQ(without.size(), 6);
}

// A 3-gram whose history is not among the 2-grams is found all the same.
TEST_F(Arpa, LongerWithoutShorter) {
  auto text = lines;
  text.insert(text.begin() + 4, "ngram 3=1");
  text.insert(text.end() - 1, {"\\3-grams:", "-0.1 b b A"});
  const NgramModel model = NgramModel::read(written(text));
  EXPECT_DOUBLE_EQ(model.score({"b", "b"}, "A"), -0.1 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"b"}, "b"), -0.75 * ln10);
}

TEST_F(Arpa, NamesTheLine) {
  expect_refused(2, "data", {"m.arpa:16:", "the file ends", "\\data\\"});
  expect_refused(3, "gram 1=5", {"m.arpa:3:", "'ngram 1=COUNT'", "'gram 1=5'"});
  expect_refused(3, "ngram 1=-5", {"m.arpa:3:", "'ngram 1=COUNT'", "'ngram 1=-5'"});
  expect_refused(3, "ngram", {"m.arpa:3:", "'ngram 1=COUNT'"});
  expect_refused(4, "ngram 3=2", {"m.arpa:4:", "'ngram 2=COUNT'", "'ngram 3=2'"});
  expect_refused(4, std::nullopt, {"m.arpa:12:", "\\end\\", "'\\2-grams:'"});
  expect_refused(6, "\\2-grams:", {"m.arpa:6:", "\\1-grams:", "'\\2-grams:'"});
  expect_refused(3, "ngram 1=6", {"m.arpa:13:", "\\1-grams:", "has 5", "says 6"});
  expect_refused(3, "ngram 1=4", {"m.arpa:11:", "\\2-grams: should come", "'-0.75 b'"});
  expect_refused(4, "ngram 2=3", {"m.arpa:16:", "\\2-grams:", "has 2", "says 3"});
  expect_refused(4, "ngram 2=1", {"m.arpa:15:", "\\end\\ should come", "'-0.25 A b 0'"});
  expect_refused(16, std::nullopt, {"m.arpa:15:", "the file ends", "\\end\\"});
  expect_refused(10, "A", {"m.arpa:10:", "1-gram", "'A'"});
  expect_refused(10, "-0.5 A -0.25 3",
                 {"m.arpa:10:", "'PROBABILITY WORD [BACK_OFF]'", "'-0.5 A -0.25 3'"});
  expect_refused(10, "x A", {"m.arpa:10:", "a probability", "'x'"});
  expect_refused(10, "0.5 A", {"m.arpa:10:", "from -1000 to 0", "'0.5'"});
  expect_refused(10, "nan A", {"m.arpa:10:", "a probability", "'nan'"});
  expect_refused(10, "-1 A -inf", {"m.arpa:10:", "a back-off weight", "'-inf'"});
  expect_refused(11, "-0.5 A", {"m.arpa:11:", "second time", "'-0.5 A'"});
  expect_refused(15, "-0.25 A c", {"m.arpa:15:", "'c'", "not among the 1-grams"});
  expect_refused(15, "-0.25 A", {"m.arpa:15:", "'PROBABILITY WORD WORD [BACK_OFF]'"});
  expect_refused(15, "-0.25 <s> A", {"m.arpa:15:", "2-gram", "second time"});
  expect_refused(9, "-1.5 c", {"m.arpa:", "has no </s>"});
  expect_error([&] { NgramModel::read(folder_ / "none.arpa"); }, {"none.arpa"});
}

TEST(ArpaGolden, AsThePythonPackageSays) {
  const NgramModel model = NgramModel::read(test::source_path("tests/golden/trigrams.arpa"));
  const auto rows =
      nlohmann::json::parse(read_text_file(test::source_path("tests/golden/trigrams.json")));
  ASSERT_GT(rows.size(), 200u);
  for (const auto& row : rows) {
    const double actual =
        model.score(row["history"].get<std::vector<std::string>>(), row["word"].get<std::string>());
    // Three terms under 10 in magnitude, a rounding for each product and sum.
    EXPECT_NEAR(actual, row["log10"].get<double>() * ln10,
                30 * 6 * std::numeric_limits<double>::epsilon())
        << row;
  }
}

TEST(ArpaGolden, OfAn4) {
  const char* data = std::getenv("MINNOW_DATA");
  if (data == nullptr) GTEST_SKIP() << "MINNOW_DATA is not set: no real data to read";
  const auto path = std::filesystem::path(data) / "an4-flac/etc/an4.lm";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "there is no " << path;
  const NgramModel model = NgramModel::read(path, true);
  EXPECT_EQ(model.order(), 2);
  EXPECT_EQ(model.size(), 107);
  EXPECT_DOUBLE_EQ(model.score({"<s>"}, "</s>"), 0);
  EXPECT_DOUBLE_EQ(model.score({"<s>"}, "eighty"), -2.0253 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"eighty"}, "zebra"), -2.0253 * ln10);
  EXPECT_DOUBLE_EQ(model.score({"</s>"}, "zero"), (-99 - 2.0253) * ln10);
}

}  // namespace
}  // namespace minnow
