#include "train/metrics.h"

#include <nlohmann/json.hpp>
#include <string>

#include "engine/check.h"
#include "engine/files.h"

namespace minnow {
namespace {

using Json = nlohmann::json;

/// The complete lines of `text` without the records of step >= below.
std::string kept_records(const std::string& text, int64_t below, const std::string& where) {
  std::string kept;
  int64_t number = 1;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1, ++number) {
    const std::string line = text.substr(begin, end + 1 - begin);
    const Json record = Json::parse(line, nullptr, false);
    const auto step = record.is_object() ? record.find("step") : record.end();
    check(record.is_object() && (step == record.end() || step->is_number_integer()),
          "{}: line {} is not a record of a run; remove it, or the file, to go on", where, number);
    if (step == record.end() || step->get<int64_t>() < below) kept += line;
  }
  return kept;
}

}  // namespace

MetricsWriter::MetricsWriter(std::filesystem::path path, bool append, int64_t keep_below_step)
    : path_(std::move(path)) {
  if (append && std::filesystem::is_regular_file(path_)) {
    const std::string text = read_text_file(path_);
    const std::string kept = kept_records(text, keep_below_step, path_.string());
    if (kept != text) write_file_atomically(path_, kept);
  }
  file_.emplace(path_, !append);
}

void MetricsWriter::add_tensorboard(int64_t first_step) {
  events_.emplace(path_.parent_path(), first_step);
}

void MetricsWriter::write(const Json& record) {
  file_->append(record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  if (events_) events_->write(record);
}

}  // namespace minnow
