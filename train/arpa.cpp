#include "train/arpa.h"

#include <algorithm>
#include <charconv>
#include <numbers>
#include <optional>

#include "data/characters.h"
#include "engine/check.h"
#include "engine/files.h"
#include "train/text_errors.h"

namespace minnow {
namespace {

uint64_t edge(int64_t node, int64_t word) {
  return static_cast<uint64_t>(node) << 32 | static_cast<uint64_t>(word);
}

/// The number that is the whole text.
template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view blanks = " \t\r";
  const size_t start = std::min(line.find_first_not_of(blanks), line.size());
  return line.substr(start, line.find_last_not_of(blanks) + 1 - start);
}

/// What an error shows of a line.
std::string shown(std::string_view line) {
  return line.size() <= 60 ? fmt::format("'{}'", line) : fmt::format("'{}...'", line.substr(0, 60));
}

}  // namespace

/// Goes through the file line by line.
class ArpaReader {
 public:
  ArpaReader(const std::filesystem::path& path, bool lower_case)
      : path_(path.string()), lower_case_(lower_case), text_(read_text_file(path)) {}

  NgramModel read();

 private:
  template <class... Args>
  void require(bool ok, fmt::format_string<Args...> message, Args&&... args) const {
    if (!ok)
      throw Error(fmt::format("{}:{}: {}", path_, line_number_,
                              fmt::format(message, std::forward<Args>(args)...)));
  }
  /// Steps to the next line that is not empty. Error where the file has no more.
  void next(std::string_view expected);
  /// Error unless the current line is this one.
  void expect(std::string_view line) const;
  std::vector<int64_t> read_counts();
  void read_section(int64_t length, int64_t count);
  void add(int64_t length);
  int64_t word_id(std::string_view word, int64_t length);
  double read_log(std::string_view field, double most, std::string_view what) const;
  void finish_words();

  std::string path_;
  bool lower_case_;
  std::string text_;
  size_t at_ = 0;
  int64_t line_number_ = 0;
  std::string_view line_;
  NgramModel model_;
};

void ArpaReader::expect(std::string_view line) const {
  require(line_ == line, "{} should come here, if \\data\\ counts right; got {}", line,
          shown(line_));
}

void ArpaReader::next(std::string_view expected) {
  do {
    require(at_ < text_.size(), "the file ends where {} should come", expected);
    const size_t end = std::min(text_.find('\n', at_), text_.size());
    line_ = trimmed(std::string_view(text_).substr(at_, end - at_));
    at_ = end + 1;
    ++line_number_;
  } while (line_.empty());
}

/// The lines "ngram N=COUNT" for N = 1, 2, ...; stops at the line after them.
std::vector<int64_t> ArpaReader::read_counts() {
  std::vector<int64_t> counts;
  for (next("ngram 1=COUNT"); line_.starts_with("ngram"); next("\\1-grams:")) {
    const size_t equal = std::min(line_.find('='), line_.size() - 1);
    const auto length = number<int64_t>(trimmed(line_.substr(5, equal - 5)));
    const auto count = number<int64_t>(trimmed(line_.substr(equal + 1)));
    require(length == std::ssize(counts) + 1 && count.has_value() && *count >= 0,
            "this line should be 'ngram {}=COUNT'; got {}", counts.size() + 1, shown(line_));
    counts.push_back(*count);
  }
  require(!counts.empty(), "'ngram 1=COUNT' should follow \\data\\; got {}", shown(line_));
  return counts;
}

double ArpaReader::read_log(std::string_view field, double most, std::string_view what) const {
  const auto value = number<double>(field);
  // Not negated: false for what is not a number. The bounds keep sums finite.
  require(value.has_value() && *value >= -1000 && *value <= most,
          "{} should be a base-10 logarithm from -1000 to {}; got {}", what, most, shown(field));
  return *value * std::numbers::ln10;
}

int64_t ArpaReader::word_id(std::string_view word, int64_t length) {
  std::string spelled(word);
  try {
    if (lower_case_) spelled = lower_case(word);
  } catch (const Error& failure) {
    require(false, "the word {} {}", shown(word), failure.what());
  }
  if (length == 1) return model_.ids_.emplace(std::move(spelled), model_.size()).first->second;
  const auto found = model_.ids_.find(spelled);
  require(found != model_.ids_.end(), "the word {} is not among the 1-grams", shown(word));
  return found->second;
}

/// Adds the line "LOG_PROBABILITY WORD... [LOG_BACK_OFF]".
void ArpaReader::add(int64_t length) {
  const auto fields = words_of(line_);
  const int64_t surplus = std::ssize(fields) - length - 1;
  if (surplus != 0 && surplus != 1) {
    std::string words;
    for (int64_t i = 0; i < length; ++i) words += "WORD ";
    require(false, "a {}-gram should be 'PROBABILITY {}[BACK_OFF]'; got {}", length, words,
            shown(line_));
  }
  int64_t node = 0;
  for (int64_t i = 1; i <= length; ++i) {
    const int64_t word = word_id(fields[static_cast<size_t>(i)], length);
    const auto [found, made] =
        model_.children_.emplace(edge(node, word), std::ssize(model_.nodes_));
    if (made) model_.nodes_.emplace_back();
    node = found->second;
  }
  NgramModel::Node& end = model_.nodes_[static_cast<size_t>(node)];
  require(!end.listed || lower_case_, "this {}-gram comes for the second time: {}", length,
          shown(line_));
  const NgramModel::Node read{
      .score = read_log(fields[0], 0, "a probability"),
      .back_off = surplus == 1 ? read_log(fields.back(), 1000, "a back-off weight") : 0,
      .listed = true};
  if (!end.listed || read.score > end.score) end = read;
}

void ArpaReader::read_section(int64_t length, int64_t count) {
  const std::string title = fmt::format("\\{}-grams:", length);
  const std::string expected = fmt::format("a {}-gram", length);
  expect(title);
  for (int64_t i = 0; i < count; ++i) {
    next(expected);
    require(line_[0] != '\\', "{} has {} lines; \\data\\ says {}", title, i, count);
    add(length);
    if (length == 1) model_.unigrams_ = std::ssize(model_.ids_);
  }
}

/// Gives every word that the 1-grams lack the number of one that they have.
void ArpaReader::finish_words() {
  for (const char* mark : {"<s>", "</s>"})
    check(model_.ids_.contains(mark), "{}: the model has no {} among its 1-grams", path_, mark);
  for (const char* unknown : {"<unk>", "<UNK>"}) {
    if (const auto found = model_.ids_.find(unknown); found != model_.ids_.end()) {
      model_.unknown_ = found->second;
      return;
    }
  }
  model_.unknown_ = model_.unigrams_++;
  model_.ids_.emplace("<unk>", model_.unknown_);
  model_.children_.emplace(edge(0, model_.unknown_), std::ssize(model_.nodes_));
  model_.nodes_.push_back({.score = -100 * std::numbers::ln10, .listed = true});
}

NgramModel ArpaReader::read() {
  do next("\\data\\");
  while (line_ != "\\data\\");
  const std::vector<int64_t> counts = read_counts();
  model_.order_ = std::ssize(counts);
  for (int64_t length = 1; length <= model_.order_; ++length) {
    read_section(length, counts[static_cast<size_t>(length - 1)]);
    if (length == 1) finish_words();
    next(length < model_.order_ ? fmt::format("\\{}-grams:", length + 1) : "\\end\\");
  }
  expect("\\end\\");
  return std::move(model_);
}

NgramModel NgramModel::read(const std::filesystem::path& path, bool lower_case) {
  return ArpaReader(path, lower_case).read();
}

int64_t NgramModel::id(std::string_view word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? unknown_ : found->second;
}

int64_t NgramModel::child(int64_t node, int64_t word) const {
  const auto found = children_.find(edge(node, word));
  return found == children_.end() ? -1 : found->second;
}

double NgramModel::score(std::span<const int64_t> history, int64_t word) const {
  history = history.last(std::min(history.size(), static_cast<size_t>(order_ - 1)));
  const auto known = [&](int64_t id) { return id >= 0 && id < size(); };
  check(known(word) && std::all_of(history.begin(), history.end(), known),
        "NgramModel: words are numbers in [0, {}); got {} after {}", size(), word,
        fmt::join(history, " "));
  for (double weight = 0;; history = history.subspan(1)) {
    int64_t node = 0;
    for (size_t i = 0; i < history.size() && node >= 0; ++i) node = child(node, history[i]);
    const int64_t end = node < 0 ? -1 : child(node, word);
    if (end >= 0 && nodes_[static_cast<size_t>(end)].listed)
      return weight + nodes_[static_cast<size_t>(end)].score;
    if (node >= 0) weight += nodes_[static_cast<size_t>(node)].back_off;
  }
}

double NgramModel::score(const std::vector<std::string>& history, std::string_view word) const {
  std::vector<int64_t> ids;
  ids.reserve(history.size());
  for (const std::string& one : history) ids.push_back(id(one));
  return score(ids, id(word));
}

}  // namespace minnow
