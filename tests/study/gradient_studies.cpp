#include <algorithm>

#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using test::Ended;
using test::run_minnow;
using Words = std::vector<std::string>;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

Words study(const Words& words, Words settings) {
  Words all{"study"};
  all.insert(all.end(), words.begin(), words.end());
  settings = test::tiny(std::move(settings));
  all.insert(all.end(), settings.begin(), settings.end());
  return all;
}

TEST(GradientStudies, WriteTheirFolders) {
  const TemporaryFolder folder;
  const Words cosine = study(
      {"cosine", "--points", "2", "--examples", "5", "--reference", "10"},
      {"data.draggers=0.3", "train.steps=4", "clip.rule=min", "log.norms=true", "run.dir=run"});
  const Ended drawn = run_minnow(folder.path(), cosine);
  EXPECT_EQ(drawn.status, 0) << drawn.err;
  EXPECT_HAS(drawn.out, "Figure 1");
  EXPECT_HAS(drawn.out, "Assumption 4.4");
  for (const char* file : {"report.html", "pairs.csv", "cosines.csv"}) {
    EXPECT_TRUE(fs::exists(folder / "studies" / "cosine" / file)) << file;
  }
  const std::string page = read_text_file(folder / "studies" / "cosine" / "report.html");
  for (const char* part : {"After step 0", "After step 4", "layers.1", "<svg"}) {
    EXPECT_HAS(page, part);
  }
  // Five pairs of four kinds at three moments, and the header.
  const std::string pairs = read_text_file(folder / "studies" / "cosine" / "pairs.csv");
  EXPECT_EQ(std::count(pairs.begin(), pairs.end(), '\n'), 61);

  const Ended c_hat = run_minnow(
      folder.path(), {"study", "c-hat", "--micro-batches", "1,4", "--count", "10", "run"});
  EXPECT_EQ(c_hat.status, 0) << c_hat.err;
  EXPECT_HAS(c_hat.out, "Table 3");
  const std::string table = read_text_file(folder / "studies" / "c-hat" / "c-hat.csv");
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1 + 3 * 2);

  const Ended norms = run_minnow(folder.path(), {"study", "norms", "run", "-o", "n"});
  EXPECT_EQ(norms.status, 0) << norms.err;
  for (const char* file : {"report.html", "course.csv", "classes.csv", "minima.csv"}) {
    EXPECT_TRUE(fs::exists(folder / "n" / file)) << file;
  }
  EXPECT_HAS(read_text_file(folder / "n" / "report.html"), "shares of a clipped update are equal");
  const Ended by_layer =
      run_minnow(folder.path(), {"study", "norms", "run", "clip.scope=layer", "-o", "n"});
  EXPECT_EQ(by_layer.status, 0) << by_layer.err;
  const std::string other = read_text_file(folder / "n" / "report.html");
  EXPECT_EQ(other.find("shares of a clipped update are equal"), std::string::npos);
}

TEST(GradientStudies, WrongInputIsNamed) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "empty");
  const struct {
    Words words;
    const char* part;
  } cases[] = {{study({"cosine"}, {}), "draggers: 100 are needed"},
               {study({"cosine", "--points", "x"}, {}), "--points"},
               {{"study", "cosine", "empty"}, "empty: holds no checkpoint of a run"},
               {study({"c-hat", "--micro-batches", "1,x"}, {}), "--micro-batches"},
               {study({"c-hat", "--micro-batches", "97"}, {}), "97 is larger than the data"},
               {{"study", "norms", "empty"}, "empty: is no run folder"},
               {{"study", "norms"}, "required"}};
  for (const auto& [words, part] : cases) {
    const Ended ended = run_minnow(folder.path(), words);
    EXPECT_EQ(ended.status, 2) << part;
    EXPECT_TRUE(ended.err.starts_with("minnow: ")) << ended.err;
    EXPECT_HAS(ended.err, part);
  }
  EXPECT_FALSE(fs::exists(folder / "studies"));  // they failed at once
}

}  // namespace
}  // namespace minnow
