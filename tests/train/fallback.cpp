#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "engine/files.h"
#include "tests/quick.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/run_folder.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using test::Ended;
using test::run_minnow;
using test::tiny;

/// A run of four steps with its checkpoints of steps 2 and 4, as small as one can be, since some
/// tests read them once for every byte.
class Fallback : public testing::Test {
 protected:
  void SetUp() override {
    auto all = tiny({"model.hidden=[1]", "train.steps=4", "train.eval_every=0",
                     "run.checkpoint_every=2", "run.dir=r", "run.save=whole.safetensors"});
    all.insert(all.begin(), "train");
    const Ended ended = run_minnow(folder.path(), all);
    ASSERT_EQ(ended.status, 0) << ended.err;
    newest = checkpoint_path(folder / "r", 4);
    older = checkpoint_path(folder / "r", 2);
    ASSERT_TRUE(fs::exists(newest) && fs::exists(older));
  }

  /// The step that a resumed run would go on from, and what planning it prints.
  std::pair<int64_t, std::string> plan() {
    testing::internal::CaptureStderr();
    const std::vector<std::string> arguments = {"run.resume=" + (folder / "r").string()};
    const RunPlan planned = plan_run(arguments);
    return {planned.from->step, testing::internal::GetCapturedStderr()};
  }

  void expect_older(const std::string& what) {
    const auto [step, printed] = plan();
    EXPECT_EQ(step, 2) << what;
    EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 1) << what << ": " << printed;
    EXPECT_NE(printed.find(newest.string() + ": "), std::string::npos) << what << ": " << printed;
    EXPECT_NE(printed.find("passed over for " + older.filename().string()), std::string::npos)
        << what << ": " << printed;
  }

  TemporaryFolder folder;
  fs::path newest, older;
};

TEST_F(Fallback, AfterATruncationAtAnyLength) {
  EXPECT_EQ(plan(), std::pair(int64_t{4}, std::string()));
  const int64_t step = test::quick() ? 7 : 1;
  for (auto length = static_cast<int64_t>(fs::file_size(newest)) - 1; length >= 0; length -= step) {
    fs::resize_file(newest, static_cast<uintmax_t>(length));
    expect_older(fmt::format("{} bytes", length));
    if (HasFailure()) return;
  }
}

TEST_F(Fallback, AfterAFlippedByte) {
  const std::string whole = read_text_file(newest);
  std::mt19937 random(1);  // NOLINT: the same places every time
  int64_t fell_back = 0;
  for (int i = 0; i < 200; ++i) {
    const size_t place = random() % whole.size();
    std::string broken = whole;
    broken[place] = static_cast<char>(broken[place] ^ static_cast<char>(1 + random() % 255));
    std::ofstream(newest, std::ios::binary) << broken;
    // Another character for a blank of the header may still be a blank.
    if (whole[place] == ' ' && plan().first == 4) continue;
    expect_older(fmt::format("byte {}", place));
    ++fell_back;
  }
  EXPECT_GT(fell_back, 190);
}

TEST_F(Fallback, GoesOnToTheSameEnd) {
  fs::resize_file(newest, fs::file_size(newest) / 2);
  const fs::path leftover = folder / "r/checkpoints/.minnow-1-0.tmp";
  write_file_atomically(leftover, std::string_view("of a killed run"));
  const std::string whole = read_text_file(folder / "whole.safetensors");
  fs::remove(folder / "whole.safetensors");
  const Ended ended = run_minnow(folder.path(), {"train", "run.resume=true", "run.dir=r"});
  ASSERT_EQ(ended.status, 0) << ended.err;
  EXPECT_TRUE(read_text_file(folder / "whole.safetensors") == whole);
  EXPECT_FALSE(fs::exists(leftover));
  EXPECT_EQ(plan(), std::pair(int64_t{4}, std::string()));  // step 4 was written again
}

TEST_F(Fallback, IsRefusedWhereNoCheckpointIsLeft) {
  const std::string metrics = read_text_file(folder / "r/metrics.jsonl");
  fs::resize_file(newest, 100);
  fs::resize_file(older, 0);
  for (const auto& arguments : {std::vector<std::string>{"train", "run.resume=r"},
                                {"train", "run.resume=true", "run.dir=r", "train.steps=4"},
                                {"eval", "r"}}) {
    const Ended ended = run_minnow(folder.path(), arguments);
    EXPECT_EQ(ended.status, 2);
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    EXPECT_NE(ended.err.find("none of 2 checkpoints"), std::string::npos) << ended.err;
  }
  EXPECT_EQ(read_text_file(folder / "r/metrics.jsonl"), metrics);
}

}  // namespace
}  // namespace minnow
