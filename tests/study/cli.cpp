#include <gtest/gtest.h>

#include <algorithm>

#include "tests/temporary_folder.h"
#include "tests/train/program.h"

namespace minnow {
namespace {

using test::Ended;
using test::run_minnow;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(StudyCli, HelpIsComplete) {
  const TemporaryFolder folder;
  const Ended help = run_minnow(folder.path(), {"study", "--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* part : {"report", "theory", "Examples:", "gnuplot-nox"})
    EXPECT_HAS(help.out, part);
  EXPECT_HAS(run_minnow(folder.path(), {"study", "report", "--help"}).out, "studies.html");
}

TEST(StudyCli, TheoryWritesItsFolder) {
  const TemporaryFolder folder;
  const std::vector<std::string> arguments{"study", "theory", "T=10,40", "b=1,4", "B=4", "seeds=2"};
  const Ended ended = run_minnow(folder.path(), arguments);
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_HAS(ended.out, "fails    Theorem 4.1 as stated");
  EXPECT_HAS(ended.out, "fails    Theorem 4.2 as stated");
  EXPECT_HAS(ended.out, "report: studies/theory/report.html");
  const std::string html = read_text_file(folder / "studies/theory/report.html");
  EXPECT_HAS(html, "minnow study theory T=10,40 b=1,4 B=4 seeds=2");
  const std::string csv = read_text_file(folder / "studies/theory/simulation.csv");
  EXPECT_TRUE(csv.starts_with("method,T,b,seed,average,last_tenth,bound\n")) << csv;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * 2 * (1 + 2 + 2));  // T, seeds, kinds
  const Ended bound = run_minnow(folder.path(), {"study", "report", "studies/theory"});
  EXPECT_EQ(bound.status, 0) << bound.err;
  EXPECT_HAS(read_text_file(folder / "studies.html"), "href=\"studies/theory/simulation.csv\"");
}

TEST(StudyCli, WrongCommandLines) {
  const TemporaryFolder folder;
  for (const auto& arguments : {std::vector<std::string>{"study"},
                                {"study", "fly"},
                                {"study", "report"},
                                {"study", "theory", "b=3"}}) {
    const Ended ended = run_minnow(folder.path(), arguments);
    EXPECT_EQ(ended.status, 2);
    EXPECT_TRUE(ended.err.starts_with("minnow: ")) << ended.err;
    EXPECT_EQ(ended.out, "");
  }
  for (const auto& arguments :
       {std::vector<std::string>{"study", "cosines"}, {"study", "cosines", "--help"}}) {
    const Ended ended = run_minnow(folder.path(), arguments);
    EXPECT_EQ(ended.status, 2);
    EXPECT_HAS(ended.err, "there is no study cosines; there are theory, cosine, c-hat, norms,");
    EXPECT_EQ(ended.out, "");
  }
  const Ended none = run_minnow(folder.path(), {"study", "report", "nowhere"});
  EXPECT_EQ(none.status, 2);
  EXPECT_HAS(none.err, "nowhere/report.html");
  EXPECT_FALSE(std::filesystem::exists(folder / "studies.html"));
}

}  // namespace
}  // namespace minnow
