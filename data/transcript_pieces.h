#pragma once

#include <memory>
#include <set>
#include <span>

#include "data/vocabulary.h"
#include "data/word_pieces.h"

namespace minnow {

/// A vocabulary of word pieces: the CTC blank, then the pieces learnt from the training
/// transcripts. One that begins a word begins with U+2581. No piece stands for what cannot be
/// spelt, so that there are options.vocabulary - 1 tokens.
class TranscriptPieces final : public Vocabulary {
 public:
  /// Of these texts, as letters_of gives them; those that are no UTF-8 do not count. The same texts
  /// and options give the same tokens. Throws Error, with the key data.vocabulary, where the texts
  /// do not yield a vocabulary of that size.
  TranscriptPieces(std::span<const std::string> texts, const WordPiecesOptions& options);

  const std::vector<std::string>& tokens() const override { return tokens_; }
  std::vector<int64_t> encode(std::string_view text, std::string& unknown) const override;

 private:
  std::shared_ptr<const WordPieces> pieces_;
  std::vector<std::string> tokens_;
  std::set<std::string, std::less<>> spelt_;  // texts of tokens, without the blank
};

}  // namespace minnow
