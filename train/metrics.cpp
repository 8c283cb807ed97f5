#include "train/metrics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

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
  descriptor_ =
      open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC), 0666);
  if (descriptor_ < 0) fail("open", errno);
}

MetricsWriter::~MetricsWriter() {
  close(descriptor_);
}

void MetricsWriter::write(const Json& record) {
  const std::string line = record.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  struct stat before {};
  if (fstat(descriptor_, &before) != 0) fail("write", errno);
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t count = ::write(descriptor_, line.data() + done, line.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      // Half a line would be in the way of whoever reads on; where this fails too, a resumed run
      // drops it.
      if (done > 0 && ftruncate(descriptor_, before.st_size) != 0) fail("write", error);
      fail("write", error);
    }
    done += static_cast<size_t>(count);
  }
}

void MetricsWriter::sync() {
  if (fsync(descriptor_) != 0 && errno != EINVAL) fail("write", errno);  // a pipe has no disk
}

void MetricsWriter::fail(std::string_view action, int error) const {
  throw RunError(fmt::format("{}: cannot {}: {}", path_.string(), action,
                             std::generic_category().message(error)));
}

}  // namespace minnow
