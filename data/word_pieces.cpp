#include "data/word_pieces.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "data/fnv.h"
#include "engine/check.h"

namespace minnow {
namespace {

using sentencepiece::util::Status;

constexpr std::string_view kHead = "minnow word pieces 1\n";
constexpr size_t kDigits = 16;

/// The library says "Internal: file(line) [condition] what is wrong"; the last part is for people.
void check_status(const Status& status) {
  if (status.ok()) return;
  const std::string all = status.ToString();
  const size_t end = all.find("] ");
  const std::string said = end == std::string::npos ? all : all.substr(end + 2);
  throw Error("word pieces: " + (said.find_first_not_of(' ') == std::string::npos ? all : said));
}

/// The library trusts a model that it can parse: one damaged byte may lead it out of bounds.
std::string checksum(std::string_view bytes) {
  return fmt::format("{:016x}", fnv1a(bytes));
}

class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(std::span<const std::string> lines) : lines_(lines) {}
  bool done() const override { return at_ == lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  Status status() const override { return {}; }

 private:
  std::span<const std::string> lines_;
  size_t at_ = 0;
};

std::string trained_model(std::span<const std::string> lines, const WordPiecesOptions& options) {
  static std::mutex one;  // the library keeps its settings for logging in globals
  const std::scoped_lock lock(one);
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", options.type},
      {"vocab_size", std::to_string(options.vocabulary)},
      {"character_coverage", fmt::format("{}", options.coverage)},
      {"pad_id", "0"},
      {"unk_id", "1"},
      {"bos_id", "-1"},
      {"eos_id", "-1"},
      {"normalization_rule_name", "identity"},
      {"max_sentence_length", std::to_string(1 << 30)},
      {"num_threads", "1"},  // it adds up by thread, and so rounds by their number
      {"minloglevel", "3"}};
  Lines from(lines);
  std::string model;
  check_status(sentencepiece::SentencePieceTrainer::Train(settings, &from, &model));
  return model;
}

}  // namespace

WordPieces::WordPieces(std::string_view model) {
  auto processor = std::make_shared<sentencepiece::SentencePieceProcessor>();
  check_status(processor->LoadFromSerializedProto(model));
  processor_ = std::move(processor);
}

WordPieces WordPieces::train(std::span<const std::string> lines, const WordPiecesOptions& options) {
  check(options.type == "bpe" || options.type == "unigram",
        "word pieces: the type must be bpe or unigram; got {}", options.type);
  check(options.vocabulary >= 3 && options.vocabulary <= (1 << 20),
        "word pieces: the vocabulary must have between 3 and {} pieces; got {}", 1 << 20,
        options.vocabulary);
  check(options.coverage > 0 && options.coverage <= 1,
        "word pieces: the coverage must be in (0, 1]; got {}", options.coverage);
  const bool blank = std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find_first_not_of(" \t\r\n") == std::string::npos;
  });
  check(!blank, "word pieces: there is no text to learn from in {} lines", lines.size());
  return WordPieces(trained_model(lines, options));
}

WordPieces WordPieces::load(std::string_view bytes) {
  const size_t begin = kHead.size() + kDigits + 1;
  check(bytes.size() > begin && bytes.starts_with(kHead),
        "word pieces: these {} bytes are no saved word pieces", bytes.size());
  const std::string_view model = bytes.substr(begin);
  check(bytes.substr(kHead.size(), kDigits) == checksum(model),
        "word pieces: the saved ones are damaged: their checksum is {}, not {}", checksum(model),
        bytes.substr(kHead.size(), kDigits));
  return WordPieces(model);
}

std::string WordPieces::save() const {
  const std::string model = processor_->serialized_model_proto();
  return fmt::format("{}{}\n{}", kHead, checksum(model), model);
}

int64_t WordPieces::size() const {
  return processor_->GetPieceSize();
}

std::vector<std::string> WordPieces::pieces() const {
  std::vector<std::string> all;
  all.reserve(static_cast<size_t>(size()));
  for (int i = 0; i < processor_->GetPieceSize(); ++i) all.push_back(processor_->IdToPiece(i));
  return all;
}

std::vector<int64_t> WordPieces::encode(std::string_view text) const {
  std::vector<int> ids;
  check_status(processor_->Encode(text, &ids));
  return {ids.begin(), ids.end()};
}

std::string WordPieces::decode(std::span<const int64_t> ids) const {
  std::vector<int> narrow;
  for (const int64_t id : ids) {
    check(id >= 0 && id < size(), "word pieces: there are {}; got id {}", size(), id);
    narrow.push_back(static_cast<int>(id));
  }
  std::string text;
  check_status(processor_->Decode(narrow, &text));
  return text;
}

std::shared_ptr<const WordPieces> learnt_pieces(std::span<const std::string> lines,
                                                const WordPiecesOptions& options) {
  size_t hash = 0;
  for (const std::string& line : lines) hash = hash * 31 + std::hash<std::string>()(line);
  using Key = std::tuple<size_t, size_t, int64_t, std::string, double>;
  static std::mutex one;
  static std::map<Key, std::shared_ptr<const WordPieces>> known;
  const std::scoped_lock lock(one);
  auto& pieces = known[Key{hash, lines.size(), options.vocabulary, options.type, options.coverage}];
  if (pieces == nullptr) {
    pieces = std::make_shared<const WordPieces>(WordPieces::train(lines, options));
  }
  return pieces;
}

}  // namespace minnow
