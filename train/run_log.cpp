#include "train/run_log.h"

#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "train/report.h"
#include "train/run_folder.h"
#include "train/task.h"

namespace minnow {

RunLog::RunLog(const Config& config, bool resumed, int64_t first_step,
               std::shared_ptr<const Dataset> examples, Say say)
    : config_(config),
      examples_(std::move(examples)),
      say_(std::move(say)),
      metrics_(metrics_path(config.run.dir), resumed, first_step),
      history_(config.train.batch) {
  if (config.log.tensorboard) events_.emplace(config.run.dir, first_step);
  if (resumed && config.log.report) history_.add_file(metrics_path(config.run.dir));
}

void RunLog::write(const nlohmann::json& record) {
  metrics_.write(record);
  if (events_) events_->write(record);
  if (config_.log.report) history_.add(record);
  if (record.at("kind") == "eval") finish();
}

void RunLog::finish() {
  if (!config_.log.report || history_.records == reported_) return;
  try {
    write_file_atomically(report_path(config_.run.dir),
                          report_page(config_, history_, stored_pictures(*examples_)));
  } catch (const RunError& error) {
    say_(fmt::format("no report: {}", error.what()));
  }
  reported_ = history_.records;
}

}  // namespace minnow
