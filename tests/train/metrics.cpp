#include "train/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_folder.h"

namespace minnow {
namespace {

using Json = nlohmann::json;

Json record(int64_t step, double loss = 0.1) {
  return {{"kind", "step"}, {"step", step}, {"loss", loss}};
}

/// The steps of the records of a file, all of which must be whole.
std::vector<int64_t> steps_in(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::vector<int64_t> steps;
  for (std::string line; std::getline(stream, line);) steps.push_back(Json::parse(line).at("step"));
  return steps;
}

using Steps = std::vector<int64_t>;

TEST(Metrics, ALineIsThereAtOnce) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsWriter writer(path, false);
  EXPECT_EQ(read_text_file(path), "");
  writer.write(record(0, 1.0 / 3));
  const std::string first = read_text_file(path);
  EXPECT_EQ(Json::parse(first), record(0, 1.0 / 3));
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 1);
  writer.write({{"step", 1}, {"text", "a\nb \xff"}, {"loss", std::nan("")}});
  const std::string second = read_text_file(path).substr(first.size());
  EXPECT_EQ(std::count(second.begin(), second.end(), '\n'), 1);
  EXPECT_TRUE(Json::parse(second).at("loss").is_null());
}

TEST(Metrics, ANewRunBeginsAnEmptyFile) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsWriter(path, false).write(record(0));
  MetricsWriter(path, false).write(record(5));
  EXPECT_EQ(steps_in(path), Steps{5});
}

TEST(Metrics, AResumedRunHasNoStepTwice) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsWriter(path, true, 3).write(record(0));  // none is there yet
  {
    MetricsWriter writer(path, true);
    for (int64_t step = 1; step < 6; ++step) writer.write(record(step));
    writer.write({{"kind", "eval"}, {"step", 6}});
  }
  std::ofstream(path, std::ios::app) << R"({"kind":"step","ste)";  // killed while it wrote
  {
    MetricsWriter writer(path, true, 4);
    EXPECT_EQ(steps_in(path), (Steps{0, 1, 2, 3}));
    writer.write(record(4));
  }
  EXPECT_EQ(steps_in(path), (Steps{0, 1, 2, 3, 4}));
}

TEST(Metrics, RecordsThatNameNoStepStay) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  write_file_atomically(path, "{\"kind\":\"start\"}\n{\"step\":9}\n");
  MetricsWriter(path, true, 0).write(record(0));
  EXPECT_EQ(read_text_file(path), "{\"kind\":\"start\"}\n" + record(0).dump() + "\n");
}

TEST(Metrics, ALineThatIsNoRecordIsNamedAndNothingChanges) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  for (const char* line : {"no JSON", "[1]", "", R"({"step":"one"})", R"({"step":1.5})"}) {
    const std::string text = record(9).dump() + "\n" + line + "\n";
    write_file_atomically(path, text);
    expect_error([&] { MetricsWriter(path, true, 0); }, {path.string(), "line 2 is not a record"});
    EXPECT_EQ(read_text_file(path), text);
  }
}

TEST(Metrics, AFileThatCannotBeOpenedIsNamed) {
  const TemporaryFolder folder;
  expect_error<RunError>(
      [&] { MetricsWriter(folder / "missing/metrics.jsonl", false); },
      {(folder / "missing/metrics.jsonl").string(), "No such file or directory"});
}

TEST(Metrics, AFullDiskIsReportedAndTheLinesStayWhole) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsWriter writer(path, false);
  writer.write(record(0));
  const auto length = std::filesystem::file_size(path);
  {
    const test::FileSizeLimit limit(length + length / 2);  // half of the next line fits
    expect_error<RunError>([&] { writer.write(record(1)); }, {path.string(), "cannot write"});
  }
  EXPECT_EQ(std::filesystem::file_size(path), length);
  writer.write(record(2));
  EXPECT_EQ(steps_in(path), (Steps{0, 2}));
}

TEST(Metrics, ADeviceThatIsFullIsReported) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  MetricsWriter writer("/dev/full", true);
  expect_error<RunError>([&] { writer.write(record(0)); },
                         {"/dev/full", "No space left on device"});
}

}  // namespace
}  // namespace minnow
