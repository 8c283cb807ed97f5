#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "train/append_file.h"

namespace minnow {

/// Hands over every complete line of the text of metrics.jsonl, with its end and as JSON. Error,
/// that begins with `where` and the line's number, for a line that is no record.
void for_each_record(std::string_view text, const std::string& where,
                     const std::function<void(std::string_view, const nlohmann::json&)>& use);

/// Writes metrics.jsonl: one JSON object a line, there when `write` returns.
class MetricsWriter {
 public:
  /// Begins an empty file, or with `append` goes on with the one that is there: without its records
  /// of step >= keep_below_step, which the resumed run writes again, and without a last line that
  /// is not complete. RunError where the file cannot be written; Error with the line's number where
  /// an old line is no record.
  MetricsWriter(const std::filesystem::path& path, bool append,
                int64_t keep_below_step = INT64_MAX);

  /// Numbers that are infinite or NaN become null. RunError naming the file where the disk refuses;
  /// the lines before stay whole.
  void write(const nlohmann::json& record);

  /// Waits until all lines are on the disk, and would outlive a power failure.
  void sync();

 private:
  AppendFile file_;
};

}  // namespace minnow
