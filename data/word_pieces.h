#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace minnow {

struct WordPiecesOptions {
  int64_t vocabulary = 4000;  ///< pieces, with the two that stand for padding and for the unknown
  std::string type = "bpe";   ///< or "unigram"
  double coverage = 1;        ///< share of the text whose letters become pieces; rarer ones do not
};

/// A vocabulary of pieces of words, by the sentencepiece library (Kudo and Richardson,
/// "SentencePiece", EMNLP 2018). Id 0 is padding (or the blank), which no text holds; id 1 stands
/// for what no piece spells. Text is taken as it is, but for runs of spaces, which count as one.
/// Safe to call from several threads.
class WordPieces {
 public:
  static constexpr int64_t kPadding = 0, kUnknown = 1;

  /// Learns the pieces of `lines` (UTF-8): the same ones whatever the machine. Error where the text
  /// does not yield a vocabulary of that size.
  static WordPieces train(std::span<const std::string> lines, const WordPiecesOptions& options);
  /// What save() gave. Error for anything else, or a byte that has changed.
  static WordPieces load(std::string_view bytes);
  std::string save() const;

  int64_t size() const;
  /// Every piece, by its id; a piece that begins a word begins with U+2581.
  std::vector<std::string> pieces() const;
  std::vector<int64_t> encode(std::string_view text) const;
  /// Error for an id that does not exist.
  std::string decode(std::span<const int64_t> ids) const;

 private:
  explicit WordPieces(std::string_view model);

  std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor_;
};

/// WordPieces::train, once in a process for the same lines and options: for the splits of a data
/// set and for the runs of a study.
std::shared_ptr<const WordPieces> learnt_pieces(std::span<const std::string> lines,
                                                const WordPiecesOptions& options);

}  // namespace minnow
