#include "data/recordings.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "data/hold_out.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view kBlanks = " \t\r";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

struct Line {
  std::string text;  // without blanks at its ends; not empty
  int64_t number = 0;
};

std::vector<Line> read_lines(std::string_view layout, const fs::path& path) {
  std::error_code failure;
  check(fs::is_regular_file(path, failure), "{}: no file {}", layout, path.string());
  std::ifstream file(path);
  check(file.is_open(), "{}: cannot open {}", layout, path.string());
  std::vector<Line> lines;
  std::string text;
  for (int64_t number = 1; std::getline(file, text); ++number) {
    const std::string_view trimmed = trim(text);
    if (!trimmed.empty()) lines.push_back({std::string(trimmed), number});
  }
  check(!file.bad(), "{}: cannot read {}", layout, path.string());
  return lines;
}

/// What `keep` accepts in a folder, in the order of the names.
std::vector<fs::path> sorted_entries(std::string_view layout, const fs::path& folder,
                                     const std::function<bool(const fs::directory_entry&)>& keep) {
  std::vector<fs::path> found;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (!entry.path().filename().string().starts_with('.') && keep(entry)) {
        found.push_back(entry.path());
      }
    }
  } catch (const fs::filesystem_error& failure) {
    throw Error(
        fmt::format("{}: cannot list {}: {}", layout, folder.string(), failure.code().message()));
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> folders_in(std::string_view layout, const fs::path& folder,
                                 std::string_view prefix = {}) {
  return sorted_entries(layout, folder, [&](const fs::directory_entry& entry) {
    return entry.is_directory() && entry.path().filename().string().starts_with(prefix);
  });
}

/// The sound file `stem`.*; the first of the possible names where there is none.
fs::path sound_file(const fs::path& stem) {
  for (const char* extension : {".flac", ".wav", ".sph"}) {
    std::error_code ignored;
    const fs::path path = stem.string() + extension;
    if (fs::exists(path, ignored)) return path;
  }
  return stem.string() + ".flac";
}

/// "<s> YES </s> (an251-fash-b)" becomes "YES", without the marks of the sentence's ends.
std::string an4_text(std::string_view line) {
  line = trim(line.substr(0, line.rfind('(')));
  if (line.starts_with("<s>")) line.remove_prefix(3);
  if (line.ends_with("</s>")) line.remove_suffix(4);
  return std::string(trim(line));
}

std::vector<Recording> list_an4(const fs::path& path, Split split) {
  const std::string stem = split == Split::train ? "an4_train" : "an4_test";
  const fs::path names = path / "etc" / (stem + ".fileids");
  const fs::path texts = path / "etc" / (stem + ".transcription");
  const std::vector<Line> ids = read_lines("an4", names), lines = read_lines("an4", texts);
  check(ids.size() == lines.size(), "an4: {} and {} need as many lines; got {} and {}",
        names.string(), texts.string(), ids.size(), lines.size());
  std::vector<Recording> all;
  for (size_t i = 0; i < ids.size(); ++i) {
    const fs::path file(ids[i].text);
    check(lines[i].text.ends_with(fmt::format("({})", file.filename().string())),
          "an4: {} line {} must end with ({}), as {} has it; got {}", texts.string(),
          lines[i].number, file.filename().string(), names.string(), lines[i].text);
    all.push_back({.path = sound_file(path / "wav" / file),
                   .text = an4_text(lines[i].text),
                   .speaker = file.parent_path().filename().string()});
  }
  return all;
}

/// Adds what PATH/SPEAKER/CHAPTER holds for every chapter.
void add_librispeech(const fs::path& folder, std::vector<Recording>& all) {
  const std::string name = folder.filename().string();  // train-clean-100
  std::string domain = name.substr(name.find('-') + 1);
  domain = domain.substr(0, domain.find('-'));
  for (const fs::path& speaker : folders_in("librispeech", folder)) {
    for (const fs::path& chapter : folders_in("librispeech", speaker)) {
      const std::string who = speaker.filename().string();
      const fs::path list =
          chapter / fmt::format("{}-{}.trans.txt", who, chapter.filename().string());
      for (const Line& line : read_lines("librispeech", list)) {
        const size_t blank = std::min(line.text.find_first_of(kBlanks), line.text.size());
        const std::string id = line.text.substr(0, blank);
        check(id.starts_with(who + "-") && id.find('/') == std::string::npos,
              "librispeech: {} line {} must start with an id like {}-...; got {}", list.string(),
              line.number, who, line.text);
        all.push_back({.path = sound_file(chapter / id),
                       .text = std::string(trim(line.text.substr(blank))),
                       .speaker = who,
                       .domain = domain});
      }
    }
  }
}

std::vector<Recording> list_librispeech(const fs::path& path, Split split) {
  const std::string prefix = split == Split::train ? "train-" : "test-";
  const std::vector<fs::path> folders = folders_in("librispeech", path, prefix);
  check(!folders.empty(), "librispeech: {} has no folder {}*", path.string(), prefix);
  std::vector<Recording> all;
  for (const fs::path& folder : folders) add_librispeech(folder, all);
  return all;
}

/// The string under one of the keys, where there is one.
std::optional<std::string> find_string(const Json& object,
                                       std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) continue;
    check(found->is_string() || found->is_number_integer(), "\"{}\" must be a string; got {}", key,
          found->dump());
    return found->is_string() ? found->get<std::string>() : found->dump();
  }
  return std::nullopt;
}

Recording parse_manifest_line(const std::string& line, const fs::path& folder) {
  const Json object = Json::parse(line, nullptr, false);
  check(object.is_object(), "must be one JSON object; got {}", line.substr(0, 80));
  const std::optional<std::string> file = find_string(object, {"audio_filepath", "audio"});
  check(file && !file->empty(), "needs \"audio_filepath\"; got {}", line.substr(0, 80));
  const std::optional<std::string> text = find_string(object, {"text"});
  check(text.has_value(), "needs \"text\"; got {}", line.substr(0, 80));
  const Json mark = object.value("mark", Json(false));
  check(mark.is_boolean(), "\"mark\" must be true or false; got {}", mark.dump());
  const Json offset = object.value("offset", Json(0));
  check(offset == 0, "parts of files are not read; got \"offset\" {}", offset.dump());
  Recording recording{.path = folder / *file, .text = *text, .marked = mark.get<bool>()};
  recording.speaker = find_string(object, {"speaker"}).value_or("");
  recording.domain = find_string(object, {"domain"}).value_or(recording.domain);
  return recording;
}

std::vector<Recording> read_manifests(const std::vector<fs::path>& files) {
  std::vector<Recording> all;
  for (const fs::path& file : files) {
    for (const Line& line : read_lines("manifest", file)) {
      try {
        all.push_back(parse_manifest_line(line.text, file.parent_path()));
      } catch (const Error& failure) {
        throw Error(
            fmt::format("manifest: {} line {}: {}", file.string(), line.number, failure.what()));
      }
    }
  }
  return all;
}

std::vector<fs::path> manifests_in(const fs::path& folder, std::string_view prefix) {
  return sorted_entries("manifest", folder, [&](const fs::directory_entry& entry) {
    const std::string extension = entry.path().extension().string();
    return entry.path().filename().string().starts_with(prefix) && !entry.is_directory() &&
           (extension == ".json" || extension == ".jsonl");
  });
}

/// Lines of the train files where `held` is set: the split is then still to be chosen from them.
std::vector<Recording> list_manifest(const fs::path& path, Split split, bool& held) {
  std::vector<fs::path> train{path}, test;
  if (fs::is_directory(path)) {
    train = manifests_in(path, "train");
    test = manifests_in(path, "test");
    check(!train.empty(), "manifest: {} has no train*.json or train*.jsonl file", path.string());
  }
  held = test.empty();
  return read_manifests(held || split == Split::train ? train : test);
}

}  // namespace

std::vector<Recording> list_recordings(std::string_view layout, const std::filesystem::path& path,
                                       Split split) {
  check(!path.empty(), "{}: needs data.path, where its files are", layout);
  std::error_code ignored;
  check(fs::exists(path, ignored), "{}: nothing at {}", layout, path.string());
  std::vector<Recording> all;
  bool held = false;
  if (layout == "an4") {
    all = list_an4(path, split);
  } else if (layout == "librispeech") {
    all = list_librispeech(path, split);
  } else {
    check(layout == "manifest", "recordings: no layout is called {}", layout);
    all = list_manifest(path, split, held);
  }
  int64_t id = split == Split::test ? kFirstTestId : 0;
  for (Recording& recording : all) recording.id = id++;
  if (held) std::erase_if(all, [&](const Recording& r) { return !held_for(split, r.id); });
  check(!all.empty(), "{}: {} lists no recording of the {} split", layout, path.string(),
        split == Split::train ? "train" : "test");
  return all;
}

}  // namespace minnow
