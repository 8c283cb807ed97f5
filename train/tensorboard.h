#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "train/append_file.h"

namespace minnow {

/// One record of a TFRecord file: the length (uint64), its masked CRC-32C, the bytes, and theirs.
std::string tfrecord(std::string_view bytes);

/// What TensorBoard shows of a record of metrics.jsonl, as the protobuf message tensorflow.Event:
/// every number but step, epoch and argmin as a scalar, `train/NAME` of a step and `eval/NAME` of
/// an evaluation, and the list `norms` as a histogram with buckets an eighth of an octave wide,
/// without what is not finite. Empty where the record holds nothing of the kind.
std::string event_of(const nlohmann::json& record, double wall_time);

/// Writes an event file for TensorBoard: events.out.tfevents.SECONDS.HOST.PID.minnow. Every run and
/// every resumed run has one of its own, and SECONDS makes the later one the last by name, too. It
/// begins with a session start that names the first step to come, on which TensorBoard drops what
/// older files have from there on: no step appears twice.
class EventWriter {
 public:
  /// RunError where the file cannot be written.
  EventWriter(const std::filesystem::path& folder, int64_t first_step);

  /// RunError naming the file where the disk refuses.
  void write(const nlohmann::json& record);

 private:
  AppendFile file_;
};

}  // namespace minnow
