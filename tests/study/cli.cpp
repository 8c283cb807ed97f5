#include "tests/expect_error.h"
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
  for (const char* part : {"report", "Examples:", "gnuplot-nox"}) EXPECT_HAS(help.out, part);
  EXPECT_HAS(run_minnow(folder.path(), {"study", "report", "--help"}).out, "studies.html");
}

TEST(StudyCli, WrongCommandLines) {
  const TemporaryFolder folder;
  for (const auto& arguments :
       {std::vector<std::string>{"study"}, {"study", "fly"}, {"study", "report"}}) {
    const Ended ended = run_minnow(folder.path(), arguments);
    EXPECT_EQ(ended.status, 2);
    EXPECT_TRUE(ended.err.starts_with("minnow: ")) << ended.err;
    EXPECT_EQ(ended.out, "");
  }
  const Ended none = run_minnow(folder.path(), {"study", "report", "nowhere"});
  EXPECT_EQ(none.status, 2);
  EXPECT_HAS(none.err, "nowhere/report.html");
  EXPECT_FALSE(std::filesystem::exists(folder / "studies.html"));
}

}  // namespace
}  // namespace minnow
