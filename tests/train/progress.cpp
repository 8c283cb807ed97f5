#include "train/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace minnow {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts = {""};
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string content(std::FILE* file) {
  std::rewind(file);
  std::string text;
  for (int c = 0; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  return text;
}

ProgressState half_way() {
  return {.step = 50,
          .total_steps = 100,
          .epoch = 2,
          .loss = 1.5,
          .lr = 0.001,
          .examples_per_s = 512.4,
          .seconds_left = 3725,
          .extra = "top1 61.2%"};
}

TEST(ProgressLine, SaysAllThereIsToSay) {
  const std::string numbers =
      " step 50/100 epoch 2 loss 1.5000 lr 0.001 512/s ETA 1:02:05 top1 61.2%";
  EXPECT_EQ(progress_line(half_way(), 0), " 50%" + numbers);
  EXPECT_EQ(progress_line(half_way(), 1000),
            " 50% [" + std::string(15, '#') + std::string(15, '-') + "]" + numbers);
  ProgressState slow = half_way();
  slow.examples_per_s = 0.52;
  slow.seconds_left = 59.2;
  EXPECT_NE(progress_line(slow, 0).find(" 0.5/s ETA 1:00"), std::string::npos);
}

TEST(ProgressLine, FitsAnyWidth) {
  ProgressState state = half_way();
  state.extra = "größer";
  for (int64_t width = 1; width < 150; ++width) {
    const std::string line = progress_line(state, width);
    EXPECT_LE(static_cast<int64_t>(line.size()), width);
    // A cut through the middle of a character would leave its first byte at the end.
    EXPECT_NE(static_cast<unsigned char>(line.back()) & 0xC0, 0xC0) << width;
  }
  state.step = 0;
  EXPECT_TRUE(progress_line(state, 200).starts_with("  0% [---"));
  state.step = state.total_steps = 0;
  EXPECT_TRUE(progress_line(state, 200).starts_with("100% [###"));
}

TEST(Progress, ALogGetsATenthAtATime) {
  const File file(std::tmpfile(), std::fclose);
  {
    Progress progress(1000, file.get());
    for (int64_t step = 1; step <= 1000; ++step) {
      progress.update(step, 0, 2.0, 0.1, 100);
      if (step == 500) progress.line("evaluated");
    }
  }
  const auto lines = split(content(file.get()), '\n');
  ASSERT_EQ(lines.size(),
            13u);  // the first step, ten tenths, "evaluated", and what follows the last end of line
  EXPECT_NE(lines[0].find("step 1/1000"), std::string::npos);
  EXPECT_NE(lines[5].find("step 500/1000"), std::string::npos);
  EXPECT_EQ(lines[6], "evaluated");
  EXPECT_NE(lines[11].find("100% step 1000/1000"), std::string::npos);
  EXPECT_EQ(content(file.get()).find('\r'), std::string::npos);
}

TEST(Progress, WhatHasNotBeenShownIsShownAtTheEnd) {
  const File file(std::tmpfile(), std::fclose);
  Progress progress(1000, file.get());
  progress.update(1, 0, 2.0, 0.1, 100);
  progress.update(7, 0, 2.0, 0.1, 100);
  EXPECT_EQ(content(file.get()).find("step 7/"), std::string::npos);
  progress.finish();
  progress.finish();
  EXPECT_NE(content(file.get()).find("step 7/"), std::string::npos);
  EXPECT_EQ(split(content(file.get()), '\n').size(), 3u);
}

/// A terminal of `columns` columns; what is written to file() comes out of read_all().
class Terminal {
 public:
  explicit Terminal(unsigned short columns)
      : before_(std::getenv("TERM") ? std::getenv("TERM") : "") {
    setenv("TERM", "xterm", 1);
    master_ = posix_openpt(O_RDWR | O_NOCTTY);
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) return;
    file_.reset(std::fopen(ptsname(master_), "w"));
    const winsize size{.ws_row = 10, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    if (file_) ioctl(fileno(file_.get()), TIOCSWINSZ, &size);
  }
  ~Terminal() {
    setenv("TERM", before_.c_str(), 1);
    if (master_ >= 0) close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::FILE* file() { return file_.get(); }
  /// Everything up to the end of the line, which closing the other side makes.
  std::string read_all() {
    file_.reset();
    std::string text(1 << 16, '\0');
    size_t size = 0;
    for (ssize_t count = 0; (count = read(master_, text.data() + size, text.size() - size)) > 0;) {
      size += static_cast<size_t>(count);
    }
    text.resize(size);
    return text;
  }

 private:
  std::string before_;
  int master_ = -1;
  File file_{nullptr, std::fclose};
};

TEST(Progress, ATerminalGetsOneLineThatFits) {
  Terminal terminal(60);
  if (terminal.file() == nullptr) GTEST_SKIP() << "this system gives no pseudo-terminal";
  const auto begin = std::chrono::steady_clock::now();
  {
    Progress progress(100'000, terminal.file());
    for (int64_t step = 1; step <= 50'000; ++step) {
      progress.update(step, 0, 2.0, 0.1, 100, "extra text");
    }
    progress.line("evaluated");
    progress.update(100'000, 0, 2.0, 0.1, 100, "extra text");
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const std::string text = terminal.read_all();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);  // after "evaluated", and at the end
  EXPECT_NE(text.find("\revaluated\x1b[K"), std::string::npos);
  EXPECT_NE(text.find("100% step 100000/100000"), std::string::npos);
  const auto drawn = split(text, '\r');
  // Nothing comes before the first. Then: the first step, the line and the bar below it, the last
  // step, the two ends of lines, which the terminal writes as \r\n, and ten a second.
  EXPECT_LE(static_cast<double>(drawn.size()), 7 + 10 * seconds.count());
  for (const std::string& line : drawn) {
    EXPECT_LT(line.substr(0, line.find('\x1b')).size(), 60u) << line;
  }
}

}  // namespace
}  // namespace minnow
