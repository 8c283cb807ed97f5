#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace minnow {

/// Writes metrics.jsonl: one JSON object a line. Every line is in the file when `write` returns, so
/// that others can follow a run, and a run that is killed loses nothing.
class MetricsWriter {
 public:
  /// Begins an empty file, or with `append` goes on with the one that is there: without its records
  /// of step >= keep_below_step, which the resumed run writes again, and without a last line that
  /// is not complete. RunError where the file cannot be written; Error with the line's number where
  /// an old line is no record.
  MetricsWriter(std::filesystem::path path, bool append, int64_t keep_below_step = INT64_MAX);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  /// Numbers that are infinite or NaN become null. RunError naming the file where the disk refuses;
  /// the lines before stay whole.
  void write(const nlohmann::json& record);

  /// Waits until all lines are on the disk, and would outlive a power failure.
  void sync();

 private:
  [[noreturn]] void fail(std::string_view action, int error) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace minnow
