#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "data/dataset.h"
#include "train/config.h"
#include "train/history.h"
#include "train/metrics.h"
#include "train/tensorboard.h"

namespace minnow {

/// What a run leaves in its folder for people to look at: metrics.jsonl, a TensorBoard event file
/// and report.html.
class RunLog {
 public:
  using Say = std::function<void(const std::string&)>;

  /// Opens the files; a resumed run goes on with those that are there, from `first_step` on.
  /// `examples`: what the run trains on; `say` takes a line for the user. Throws as MetricsWriter
  /// does.
  RunLog(const Config& config, bool resumed, int64_t first_step,
         std::shared_ptr<const Dataset> examples, Say say);

  /// Writes a record; one of an evaluation brings the report up to date. RunError where the disk
  /// refuses.
  void write(const nlohmann::json& record);
  /// Waits until the records are on the disk.
  void sync() { metrics_.sync(); }
  /// Brings the report up to date. It can be had from the files at any time, so where it cannot be
  /// written the run goes on, and says so.
  void finish();

 private:
  Config config_;
  std::shared_ptr<const Dataset> examples_;
  Say say_;
  MetricsWriter metrics_;
  std::optional<EventWriter> events_;
  History history_;
  int64_t reported_ = 0;  // records in the report
};

}  // namespace minnow
