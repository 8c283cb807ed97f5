#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "train/append_file.h"
#include "train/tensorboard.h"

namespace minnow {

/// Writes metrics.jsonl: one JSON object a line, there when `write` returns.
class MetricsWriter {
 public:
  /// Begins an empty file, or with `append` goes on with the one that is there: without its records
  /// of step >= keep_below_step, which the resumed run writes again, and without a last line that
  /// is not complete. RunError where the file cannot be written; Error with the line's number where
  /// an old line is no record.
  MetricsWriter(std::filesystem::path path, bool append, int64_t keep_below_step = INT64_MAX);

  /// Writes the records to come into a TensorBoard event file as well, in the same folder. RunError
  /// where it cannot be written.
  void add_tensorboard(int64_t first_step);

  /// Numbers that are infinite or NaN become null. RunError naming the file where the disk refuses;
  /// the lines before stay whole.
  void write(const nlohmann::json& record);

 private:
  std::filesystem::path path_;
  std::optional<AppendFile> file_;
  std::optional<EventWriter> events_;
};

}  // namespace minnow
