#include <algorithm>
#include <charconv>
#include <cstdio>

#include "train/checkpoint.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "step-", suffix = ".safetensors";

fs::path folder_of(const fs::path& run_dir) {
  return run_dir / "checkpoints";
}

/// The step in a file name as checkpoint_path writes it.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  const char* first = name.data() + prefix.size();
  const char* last = name.data() + name.size() - suffix.size();
  int64_t step = 0;
  const auto [end, error] = std::from_chars(first, last, step);
  if (last - first < 8 || *first == '-' || end != last || error != std::errc()) return std::nullopt;
  return step;
}

}  // namespace

std::vector<FoundCheckpoint> find_checkpoints(const fs::path& run_dir) {
  std::vector<FoundCheckpoint> found;
  std::error_code error;  // where there is no folder, there is no checkpoint
  fs::directory_iterator entry(folder_of(run_dir), error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (const auto step = step_of(entry->path().filename().string())) {
      found.push_back({*step, entry->path()});
    }
  }
  std::sort(found.begin(), found.end(),
            [](const FoundCheckpoint& a, const FoundCheckpoint& b) { return a.step > b.step; });
  return found;
}

fs::path checkpoint_path(const fs::path& run_dir, int64_t step) {
  return folder_of(run_dir) / fmt::format("{}{:08}{}", prefix, step, suffix);
}

void warn_on_stderr(const std::string& message) {
  std::fputs(("minnow: warning: " + message + "\n").c_str(), stderr);
}

std::optional<fs::path> latest_checkpoint(const fs::path& run_dir, const Warning& warn) {
  const std::vector<FoundCheckpoint> found = find_checkpoints(run_dir);
  std::vector<std::string> problems;
  for (const auto& [step, path] : found) {
    try {
      load_checkpoint(path);
    } catch (const Error& error) {
      problems.push_back(error.what());
      continue;
    }
    for (const std::string& problem : problems) {
      warn(fmt::format("{}; passed over for {}", problem, path.filename().string()));
    }
    return path;
  }
  check(found.empty(), "{}: none of {} checkpoints can be read; of the newest: {}",
        folder_of(run_dir).string(), found.size(), problems.empty() ? "" : problems.front());
  return std::nullopt;
}

void set_aside_newer(const fs::path& run_dir, int64_t step) {
  for (const auto& [newer, path] : find_checkpoints(run_dir)) {
    if (newer <= step) break;
    std::error_code error;
    fs::rename(path, path.string() + ".unread", error);
    if (error) {
      throw RunError(fmt::format("{}: cannot rename the checkpoint that was passed over: {}",
                                 path.string(), error.message()));
    }
  }
}

void prune_checkpoints(const fs::path& run_dir, int64_t keep) {
  check(keep >= 1, "checkpoints: at least one must be kept; got {}", keep);
  const std::vector<FoundCheckpoint> found = find_checkpoints(run_dir);
  for (size_t i = static_cast<size_t>(keep); i < found.size(); ++i) {
    std::error_code error;
    fs::remove(found[i].path, error);
    if (error) {
      throw RunError(fmt::format("{}: cannot remove the old checkpoint: {}", found[i].path.string(),
                                 error.message()));
    }
  }
}

}  // namespace minnow
