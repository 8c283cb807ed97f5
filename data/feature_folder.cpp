#include "data/feature_folder.h"

#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "data/fnv.h"
#include "engine/check.h"
#include "engine/files.h"

// A file is a head (the version of the formulas and of this format, what the features are and what
// their source was like), a line "T F CHECKSUM", and the T x F numbers as they lie in memory.
namespace minnow {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kVersion = "minnow features 1";  // another for other formulas

/// Nothing where the file cannot be asked.
std::optional<std::string> state_of(const fs::path& source) {
  std::error_code no_size, no_time;
  const auto size = fs::file_size(source, no_size);
  const auto time = fs::last_write_time(source, no_time);
  if (no_size || no_time) return std::nullopt;
  return fmt::format("{} {}", size, time.time_since_epoch().count());
}

std::string_view bytes_of(const Tensor& features) {
  return {reinterpret_cast<const char*>(features.raw()), static_cast<size_t>(features.nbytes())};
}

std::string shape_line(const Tensor& features) {
  return fmt::format("{} {} {:016x}\n", features.dim(0), features.dim(1),
                     fnv1a(bytes_of(features)));
}

/// Takes a number and the blank behind it; -1 where there is none.
int64_t take_number(std::string_view& text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != ' ') return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return number;
}

/// Undefined where the file is not there, is of something else, or is damaged.
Tensor read_features(const fs::path& file, const std::string& head) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return {};
  std::string all;
  try {
    all = read_text_file(file);
  } catch (const Error&) {
    return {};
  }
  if (!all.starts_with(head)) return {};
  std::string_view rest = std::string_view(all).substr(head.size());
  const size_t line = rest.find('\n') + 1;  // 0: none
  std::string_view numbers = rest.substr(0, line);
  const int64_t frames = take_number(numbers), bins = take_number(numbers);
  const auto bytes = static_cast<int64_t>(rest.size() - line);
  const int64_t most = bytes / size_of(DType::float32);
  if (frames < 1 || bins < 1 || frames > most || bins > most / frames) return {};
  const Tensor features = Tensor::empty({frames, bins}, DType::float32);
  if (features.nbytes() != bytes) return {};
  std::memcpy(features.raw(), rest.data() + line, static_cast<size_t>(bytes));
  return rest.substr(0, line) == shape_line(features) ? features : Tensor();
}

}  // namespace

FeatureFolder::FeatureFolder(const std::string& folder, std::function<void(std::string)> warn)
    : folder_(folder), warn_(std::move(warn)) {
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder_, error);
  check(fs::is_directory(folder_), "data.cache_dir: cannot make the folder {}{}", folder,
        error ? ": " + error.message() : "");
  for (fs::directory_iterator entry(folder_, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (entry->is_directory(error)) remove_leftovers(entry->path());
  }
}

Tensor FeatureFolder::get(const fs::path& source, const std::string& description,
                          const std::function<Tensor()>& make) {
  if (folder_.empty()) return make();
  // Asked before the source is read: when it changes meanwhile, what is kept counts as old.
  const std::optional<std::string> state = state_of(source);
  if (!state) return make();
  const std::string head = fmt::format("{}\n{}\n{}\n", kVersion, description, *state);
  const std::string name = fmt::format("{:016x}", fnv1a(description));
  const fs::path file = folder_ / name.substr(0, 2) / name;
  if (Tensor kept = read_features(file, head); kept.defined()) return kept;
  Tensor made = make();
  keep(file, head, made);
  return made;
}

void FeatureFolder::keep(const fs::path& file, const std::string& head, const Tensor& features) {
  if (broken_) return;
  try {
    std::error_code ignored;  // the file tells
    fs::create_directories(file.parent_path(), ignored);
    AtomicFile to(file);
    to.write(head + shape_line(features));
    to.write(bytes_of(features));
    to.commit();
  } catch (const RunError& failure) {
    if (broken_.exchange(true)) return;
    warn_(fmt::format("data.cache_dir: no more features are kept: {}", failure.what()));
  }
}

}  // namespace minnow
