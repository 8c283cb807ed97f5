#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace minnow {

/// What there is to say after a step.
struct ProgressState {
  int64_t step = 0;  ///< steps taken
  int64_t total_steps = 0;
  int64_t epoch = 0;
  double loss = 0;
  double lr = 0;
  double examples_per_s = 0;
  std::optional<double> seconds_left;
  std::string extra;  ///< appended as it is
};

/// "step 120/1000 epoch 3 loss 1.2345 lr 0.001 512/s ETA 1:23 extra" with a bar and the percentage
/// before it, in at most `width` columns: the bar gives way first, then the end of the text. Width
/// 0: no bar and no limit.
std::string progress_line(const ProgressState& state, int64_t width);

/// Shows how far a run is. On a terminal: one line, redrawn at most ten times a second. Elsewhere,
/// as in a log file: plain lines, at the first and the last step, at every tenth of the run, and at
/// most every five seconds between (every fiftieth of the time so far, once that is longer).
class Progress {
 public:
  explicit Progress(int64_t total_steps, std::FILE* out = stderr);
  /// Finishes, so that whatever is written next begins a line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `step` counts the steps taken: total_steps after the last one.
  void update(int64_t step, int64_t epoch, double loss, double lr, double examples_per_s,
              const std::string& extra = {});
  /// Writes a line of its own, above the bar.
  void line(const std::string& text);
  /// Shows the last state and ends its line. Nothing is drawn afterwards.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  bool due(Clock::time_point now) const;
  void draw(Clock::time_point now);

  std::FILE* out_;
  bool terminal_;
  bool finished_ = false;
  bool drawn_ = true;  // whether the latest state has been shown
  ProgressState state_;
  int64_t first_step_ = -1;
  int64_t drawn_step_ = -1;
  Clock::time_point first_time_, drawn_time_;
};

}  // namespace minnow
