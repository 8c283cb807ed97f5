#include "train/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace minnow {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::string_view clear_to_end = "\x1b[K";

bool is_terminal(std::FILE* out) {
  const char* kind = std::getenv("TERM");
  return isatty(fileno(out)) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

/// Columns that a line may fill; the last one stays free, where some terminals wrap already.
int64_t usable_width(std::FILE* out) {
  winsize size{};
  const bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1 : 79;
}

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::min(std::ceil(seconds), 1e9));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

/// The first `width` bytes, and no part of a character beyond.
std::string cut(const std::string& text, int64_t width) {
  auto end = static_cast<size_t>(std::max<int64_t>(width, 0));
  if (end >= text.size()) return text;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

/// Without a look at errors: a run does not end because nobody can watch it.
void put(std::FILE* out, const std::string& text) {
  std::fputs(text.c_str(), out);
  std::fflush(out);
}

double share_done(const ProgressState& state) {
  if (state.total_steps <= 0) return 1;
  return std::clamp(static_cast<double>(state.step) / static_cast<double>(state.total_steps), 0.0,
                    1.0);
}

std::string numbers(const ProgressState& s) {
  const int digits = s.examples_per_s < 100 ? 1 : 0;
  std::string text = fmt::format("step {}/{} epoch {} loss {:.4f} lr {:.3g} {:.{}f}/s", s.step,
                                 s.total_steps, s.epoch, s.loss, s.lr, s.examples_per_s, digits);
  if (s.seconds_left) text += " ETA " + duration_text(*s.seconds_left);
  if (!s.extra.empty()) text += " " + s.extra;
  return text;
}

}  // namespace

std::string progress_line(const ProgressState& state, int64_t width) {
  const double share = share_done(state);
  const std::string percent = fmt::format("{:3}%", static_cast<int>(std::floor(100 * share)));
  const std::string text = fmt::format(" {}", numbers(state));
  if (width == 0) return percent + text;
  constexpr int64_t shortest = 5, longest = 30;
  const auto used = static_cast<int64_t>(percent.size() + text.size()) + 3;  // " [" and "]"
  const int64_t bar = std::min(width - used, longest);
  if (bar < shortest) return cut(percent + text, width);
  const auto filled = static_cast<size_t>(share * static_cast<double>(bar));
  return fmt::format("{} [{}{}]{}", percent, std::string(filled, '#'),
                     std::string(static_cast<size_t>(bar) - filled, '-'), text);
}

Progress::Progress(int64_t total_steps, std::FILE* out) : out_(out), terminal_(is_terminal(out)) {
  state_.total_steps = total_steps;
}

Progress::~Progress() {
  finish();
}

void Progress::update(int64_t step, int64_t epoch, double loss, double lr, double examples_per_s,
                      const std::string& extra) {
  const Clock::time_point now = Clock::now();
  if (first_step_ < 0) {
    first_step_ = step;
    first_time_ = now;
  }
  const int64_t total = state_.total_steps;
  state_ = {step, total, epoch, loss, lr, examples_per_s, std::nullopt, extra};
  if (step > first_step_) {
    const double a_step =
        Seconds(now - first_time_).count() / static_cast<double>(step - first_step_);
    state_.seconds_left = a_step * static_cast<double>(std::max<int64_t>(total - step, 0));
  }
  drawn_ = false;
  if (due(now)) draw(now);
}

bool Progress::due(Clock::time_point now) const {
  if (finished_) return false;
  const int64_t total = std::max<int64_t>(state_.total_steps, 1);
  if (drawn_step_ < 0 || state_.step >= total) return true;
  const double since = Seconds(now - drawn_time_).count();
  if (terminal_) return since >= 0.1;
  const bool next_tenth = 10 * state_.step / total != 10 * drawn_step_ / total;
  return next_tenth || since >= std::max(5.0, Seconds(now - first_time_).count() / 50);
}

void Progress::draw(Clock::time_point now) {
  if (terminal_) {
    put(out_, fmt::format("\r{}{}", progress_line(state_, usable_width(out_)), clear_to_end));
  } else {
    put(out_, progress_line(state_, 0) + "\n");
  }
  drawn_ = true;
  drawn_step_ = state_.step;
  drawn_time_ = now;
}

void Progress::line(const std::string& text) {
  const bool above_bar = terminal_ && drawn_step_ >= 0 && !finished_;
  put(out_, (above_bar ? fmt::format("\r{}{}\n", text, clear_to_end) : text + "\n"));
  if (above_bar) draw(Clock::now());
}

void Progress::finish() {
  if (finished_) return;
  if (!drawn_) draw(Clock::now());
  if (terminal_ && drawn_step_ >= 0) put(out_, "\n");
  finished_ = true;
}

}  // namespace minnow
