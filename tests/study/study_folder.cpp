#include "train/study/study_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"

namespace minnow::study {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

int64_t occurrences(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Plot a_plot() {
  return {.title = "T <1>",
          .x_label = "x & 'b'",
          .y_label = "y",
          .series = {{.name = "<script>a</script>", .x = {1, 2, 3}, .y = {1, kNan, 4}},
                     {.name = "bars", .x = {1, 2}, .y = {2, 3}, .error = {0.5, kNan}},
                     {.name = "counts", .x = {1, 2}, .y = {5, 6}, .style = Style::histogram}}};
}

/// Everything a report can hold, under `folder`.
Report a_report(const fs::path& folder, const std::string& study = "demo") {
  Report report(study, "Title & <more>", "minnow study demo 'x=<y>'", folder);
  report.heading("Part <one>");
  report.paragraph("a < b");
  report.preformatted("line 1\n  line 2");
  report.table("Numbers", {"name", "value"}, {{"<a>", "1"}, {"b", "2"}});
  report.csv("numbers", {"name", "value"}, {{"a,\"b\"", "1"}, {"", "2"}});
  report.plot(a_plot());
  report.verdict("1 < 2", Verdict::holds, "counted");
  report.verdict("2 < 1", Verdict::fails, "counted <again>");
  return report;
}

TEST(StudyFolder, HoldsAPageAndTheNumbers) {
  const TemporaryFolder folder;
  testing::internal::CaptureStdout();
  a_report(folder / "new" / "one").save();
  const std::string printed = testing::internal::GetCapturedStdout();
  EXPECT_EQ(printed, "holds    1 < 2\nfails    2 < 1\nreport: " +
                         (folder / "new" / "one" / "report.html").string() + "\n");
  EXPECT_EQ(read_text_file(folder / "new" / "one" / "numbers.csv"),
            "name,value\n\"a,\"\"b\"\"\",1\n,2\n");
  const std::string html = read_text_file(folder / "new" / "one" / "report.html");
  for (const char* part :
       {"<h1>Title &amp; &lt;more&gt;</h1>", "minnow study demo &#39;x=&lt;y&gt;&#39;", "gnuplot 5",
        "<h2>Part &lt;one&gt;</h2>", "a &lt; b", "line 1\n  line 2", "<td>&lt;a&gt;</td>",
        "<a href=\"numbers.csv\">", "<strong>holds</strong>: 1 &lt; 2", "counted &lt;again&gt;",
        "threads", " s</td>"})
    EXPECT_TRUE(contains(html, part)) << part;
  for (const char* part : {"http", "<script", "src=", "url(", " id=", ">nan<", "<title>gnuplot"})
    EXPECT_FALSE(contains(html, part)) << part;
}

TEST(StudyFolder, PlotsEscapeAndLeaveGaps) {
  const std::string svg = draw(a_plot());
  EXPECT_TRUE(contains(svg, "&lt;script>a&lt;/script>")) << svg;
  EXPECT_TRUE(contains(svg, "x &amp; 'b'"));
  // Two points of the first series, and the point of its legend; as many of the second.
  EXPECT_EQ(occurrences(svg, "<circle r='1'"), 6);
  EXPECT_EQ(occurrences(svg, "<polygon"), 3);  // two bars and that of the legend
  EXPECT_EQ(occurrences(svg, "<g"), occurrences(svg, "</g>"));
  EXPECT_FALSE(contains(svg, "<use"));
}

TEST(StudyFolder, LogarithmicAxesLeaveOutWhatTheyCannotShow) {
  const Plot plot{.title = "t",
                  .x_label = "x",
                  .y_label = "y",
                  .log_x = true,
                  .log_y = true,
                  .series = {{.name = "s", .x = {0, 1, 10, 100}, .y = {1, 2, -1, 3}}}};
  EXPECT_EQ(occurrences(draw(plot), "<circle r='1'"), 3);
}

TEST(StudyFolder, NothingToDraw) {
  EXPECT_TRUE(contains(draw({.title = "t", .series = {{.name = "s", .x = {1}, .y = {kNan}}}}),
                       "No point to draw"));
  expect_error(
      [] {
        draw({.title = "t", .series = {{.name = "s", .x = {1, 2}, .y = {1}}}});
      },
      {"plot t", "series s", "2, 1, 0"});
}

TEST(StudyFolder, MissingGnuplotIsNamed) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  expect_error<RunError>([] { draw(a_plot()); }, {"gnuplot-nox"});
  setenv("PATH", path.c_str(), 1);
}

TEST(StudyFolder, ReplacesItsOwnResultOnly) {
  const TemporaryFolder folder;
  testing::internal::CaptureStdout();
  a_report(folder / "one").save();
  a_report(folder / "one").save();
  testing::internal::GetCapturedStdout();
  expect_error([&] { a_report(folder / "one", "other"); }, {"--out", "(other)", "something else"});
  write_file_atomically(folder / "note.txt", std::string_view("mine"));
  expect_error([&] { a_report(folder.path()); }, {"something else"});
  EXPECT_EQ(read_text_file(folder / "note.txt"), "mine");
}

TEST(StudyFolder, NothingIsWrittenBeforeTheEnd) {
  const TemporaryFolder folder;
  { const Report report = a_report(folder / "new" / "one"); }
  EXPECT_TRUE(fs::is_empty(folder.path()));
  write_file_atomically(folder / "file", std::string_view("mine"));
  for (const char* path : {"file", "file/below"})
    expect_error([&] { a_report(folder / path); }, {"--out", path, "is a file"});
}

TEST(StudyFolder, FilesOfAnEarlierResultGo) {
  const TemporaryFolder folder;
  Report more = a_report(folder / "one");
  more.csv("more", {"a"}, {{"1"}});
  more.write();
  write_file_atomically(folder / "one" / "mine.csv", std::string_view("mine"));
  EXPECT_TRUE(fs::exists(folder / "one" / "more.csv"));
  a_report(folder / "one").write();
  EXPECT_FALSE(fs::exists(folder / "one" / "more.csv"));
  EXPECT_TRUE(fs::exists(folder / "one" / "numbers.csv"));
  EXPECT_TRUE(fs::exists(folder / "one" / "mine.csv"));  // no result of the study
}

TEST(StudyFolder, RowsHaveTheLengthOfTheHeader) {
  const TemporaryFolder folder;
  Report report("demo", "t", "c", folder.path());
  expect_error([&] { report.table("Mine", {"a", "b"}, {{"1"}}); }, {"Mine", "2 columns", "1"});
  expect_error([&] { report.csv("mine", {"a"}, {{"1", "2"}}); }, {"mine.csv", "1 columns", "2"});
}

TEST(StudyFolder, SeveralAreBoundIntoAPage) {
  const TemporaryFolder folder;
  testing::internal::CaptureStdout();
  a_report(folder / "a").save();
  a_report(folder / "b & c", "other").save();
  testing::internal::GetCapturedStdout();
  const std::string html =
      bound_page({folder / "a", folder / "b & c"}, folder / "all" / "page.html");
  EXPECT_EQ(occurrences(html, "<h1>Title &amp; &lt;more&gt;</h1>"), 2);
  EXPECT_EQ(occurrences(html, "<!DOCTYPE"), 1);
  EXPECT_EQ(occurrences(html, "<main"), 2);
  EXPECT_EQ(occurrences(html, "</main>"), 2);
  EXPECT_TRUE(contains(html, "<a href=\"../a/numbers.csv\">"));
  EXPECT_TRUE(contains(html, "<a href=\"../b &amp; c/numbers.csv\">"));
  expect_error([&] { bound_page({folder / "none"}, folder / "p"); }, {"none/report.html"});
  fs::create_directory(folder / "run");
  write_file_atomically(folder / "run" / "report.html", std::string_view("<p>a run</p>"));
  expect_error([&] { bound_page({folder / "run"}, folder / "p"); }, {"run/report.html", "none"});
}

}  // namespace
}  // namespace minnow::study
