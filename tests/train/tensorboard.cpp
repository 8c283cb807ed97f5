#include "train/tensorboard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/file_size_limit.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"
#include "train/crc.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path golden = test::source_path("tests/golden/events.tfevents");

/// The events of a file, whose frames must be whole.
std::vector<std::string> events_in(const fs::path& path) {
  const std::string text = read_text_file(path);
  std::vector<std::string> events;
  for (size_t at = 0; at < text.size();) {
    uint64_t length = 0;
    std::memcpy(&length, text.data() + at, std::min(sizeof length, text.size() - at));
    if (length > text.size()) throw std::runtime_error("a frame is longer than the file");
    events.push_back(text.substr(at + 12, length));
    EXPECT_EQ(text.substr(at, length + 16), tfrecord(events.back()));
    at += length + 16;
  }
  return events;
}

/// An event without its time: a key of one byte and a double.
std::string timeless(const std::string& event) {
  return event.substr(9);
}

std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents."))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

const Json step = {{"kind", "step"},   {"step", 300},
                   {"epoch", 1},       {"loss", 2.25},
                   {"lr", 1e-3},       {"rho", 0.5},
                   {"argmin", 1},      {"norms", {0.0, 0.5, 0.51, 3.0, 1e-300, NAN, nullptr}},
                   {"marked", {0, 1}}, {"ineligible", nullptr}};
const Json evaluation = {{"kind", "eval"}, {"step", 301},  {"epoch", 1},
                         {"top1", 0.5},    {"top5", 1},    {"loss", INFINITY},
                         {"text", "some"}, {"flag", true}, {"table", {{1, 2}, {3, 4}}}};

// The vectors of RFC 3720, B.4, and the check value of the catalogue of CRCs.
TEST(Tensorboard, Crc) {
  EXPECT_EQ(crc32("", kCrc32c), 0U);
  EXPECT_EQ(crc32("123456789", kCrc32c), 0xE3069283U);
  EXPECT_EQ(crc32(std::string(32, '\0'), kCrc32c), 0x8A9136AAU);
  EXPECT_EQ(crc32(std::string(32, '\xff'), kCrc32c), 0x62A8AB43U);
  EXPECT_EQ(crc32("123456789", kCrc32), 0xCBF43926U);
}

TEST(Tensorboard, EventsAreThoseOfItsOwnWriter) {
  const std::vector<std::string> expected = events_in(golden);
  ASSERT_EQ(expected.size(), 4U);
  EXPECT_EQ(event_of(step, 1002), expected[2]);
  EXPECT_EQ(event_of(evaluation, 1003), expected[3]);
}

TEST(Tensorboard, AFileBeginsWithVersionAndStart) {
  const TemporaryFolder folder;
  {
    EventWriter writer(folder.path(), 300);
    writer.write(step);
    writer.write({{"kind", "step"}, {"step", 301}});  // nothing to show
    writer.write(evaluation);
  }
  const std::vector<fs::path> files = event_files(folder.path());
  ASSERT_EQ(files.size(), 1U);
  const std::vector<std::string> events = events_in(files[0]), expected = events_in(golden);
  ASSERT_EQ(events.size(), expected.size());
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(timeless(events[i]), timeless(expected[i]));
}

TEST(Tensorboard, ALaterFileIsTheLastByName) {
  const TemporaryFolder folder;
  const fs::path future = folder / "events.out.tfevents.9000000000.somewhere.7.other";
  write_file_atomically(future, "");
  const EventWriter second(folder.path(), 1), third(folder.path(), 5);
  const std::vector<fs::path> files = event_files(folder.path());
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[0], future);
  EXPECT_NE(events_in(files[2])[1].find("\x10\x05"), std::string::npos);  // field 2, the step: 5
}

TEST(Tensorboard, AFullDiskIsReportedAndTheEventsStayWhole) {
  const TemporaryFolder folder;
  EventWriter writer(folder.path(), 1);
  const fs::path file = event_files(folder.path())[0];
  {
    const test::FileSizeLimit limit(fs::file_size(file) + 20);
    expect_error<RunError>([&] { writer.write(step); }, {file.string(), "cannot write"});
  }
  EXPECT_EQ(events_in(file).size(), 2U);
  writer.write(step);
  EXPECT_EQ(events_in(file).size(), 3U);
  expect_error<RunError>([&] { EventWriter(folder / "missing", 1); }, {"missing", "cannot open"});
}

}  // namespace
}  // namespace minnow
