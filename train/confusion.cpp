#include "train/confusion.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/files.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

double accuracy(const Score& score, int64_t label) {
  return static_cast<double>(score.correct(label)) / static_cast<double>(score.count(label));
}

/// A name that stays within its cell.
std::string cell(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return name;
}

std::string to_tsv(const Score& score, const std::vector<std::string>& names) {
  std::string text = "label";
  for (const std::string& name : names) text += '\t' + cell(name);
  for (int64_t label = 0; label < score.classes; ++label) {
    text += '\n' + cell(names[label]);
    for (int64_t with = 0; with < score.classes; ++with)
      text += fmt::format("\t{}", score.confused(label, with));
  }
  return text + '\n';
}

/// Characters, not bytes, as far as a terminal's columns go with them.
size_t width(const std::string& name) {
  return static_cast<size_t>(std::count_if(
      name.begin(), name.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

nlohmann::json to_json(const Score& score, const std::vector<std::string>& names) {
  return {{"classes", names}, {"matrix", confusion_rows(score)}};
}

}  // namespace

nlohmann::json confusion_rows(const Score& score) {
  nlohmann::json rows = nlohmann::json::array();
  for (auto row = score.confusion.begin(); row != score.confusion.end(); row += score.classes)
    rows.push_back(std::vector<int64_t>(row, row + score.classes));
  return rows;
}

std::string class_table(const Score& score, const std::vector<std::string>& names) {
  size_t widest = 5;
  for (const std::string& name : names) widest = std::max(widest, width(name));
  const auto padded = [&](const std::string& name) {
    return cell(name) + std::string(widest - width(name), ' ');
  };
  std::string text = padded("class") + "  examples   correct  accuracy\n";
  for (int64_t label = 0; label < score.classes; ++label) {
    const int64_t count = score.count(label);
    text +=
        fmt::format("{}  {:>8}  {:>8}  {:>8}\n", padded(names[label]), count, score.correct(label),
                    count == 0 ? "-" : fmt::format("{:.2f} %", 100 * accuracy(score, label)));
  }
  return text;
}

nlohmann::json class_records(const Score& score, const std::vector<std::string>& names) {
  nlohmann::json all = nlohmann::json::array();
  for (int64_t label = 0; label < score.classes; ++label) {
    nlohmann::json record{{"name", names[label]},
                          {"examples", score.count(label)},
                          {"correct", score.correct(label)},
                          {"accuracy", nullptr}};
    if (score.count(label) > 0) record["accuracy"] = accuracy(score, label);
    all.push_back(std::move(record));
  }
  return all;
}

void check_confusion_path(const fs::path& path) {
  if (path.empty()) return;
  check(path.extension() == ".tsv" || path.extension() == ".json",
        "--confusion: a file that ends in .tsv or .json; got {}", path.string());
  const fs::path parent = fs::absolute(path).parent_path();
  check(fs::is_directory(parent), "--confusion: there is no folder {}", parent.string());
  check(!fs::is_directory(path), "--confusion: {} is a folder; name a file", path.string());
}

void save_confusion(const fs::path& path, const Score& score,
                    const std::vector<std::string>& names) {
  write_file_atomically(
      path,
      path.extension() == ".json"
          ? to_json(score, names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
                '\n'
          : to_tsv(score, names));
}

}  // namespace minnow
