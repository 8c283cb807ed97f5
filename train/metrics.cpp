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
  for_each_record(text, where, [&](std::string_view line, const Json& record) {
    const auto step = record.find("step");
    if (step == record.end() || step->get<int64_t>() < below) kept += line;
  });
  return kept;
}

/// Cuts a file that is there down to the records of step < below.
const std::filesystem::path& cut(const std::filesystem::path& path, int64_t below) {
  if (!std::filesystem::is_regular_file(path)) return path;
  const std::string text = read_text_file(path);
  const std::string kept = kept_records(text, below, path.string());
  if (kept != text) write_file_atomically(path, kept);
  return path;
}

}  // namespace

void for_each_record(std::string_view text, const std::string& where,
                     const std::function<void(std::string_view, const Json&)>& use) {
  int64_t number = 1;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string_view::npos;
       begin = end + 1, ++number) {
    const std::string_view line = text.substr(begin, end + 1 - begin);
    const Json record = Json::parse(line, nullptr, false);
    const auto step = record.is_object() ? record.find("step") : record.end();
    check(record.is_object() && (step == record.end() || step->is_number_integer()),
          "{}: line {} is not a record of a run; remove it, or the file, to go on", where, number);
    use(line, record);
  }
}

MetricsWriter::MetricsWriter(const std::filesystem::path& path, bool append,
                             int64_t keep_below_step)
    : file_(append ? cut(path, keep_below_step) : path, !append) {}

void MetricsWriter::write(const Json& record) {
  file_.append(record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void MetricsWriter::sync() {
  file_.sync();
}

}  // namespace minnow
