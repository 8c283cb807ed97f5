#include "data/transcript_pieces.h"

#include "data/characters.h"
#include "engine/check.h"

namespace minnow {
namespace {

constexpr int64_t kSpecial = 2;  // padding and the unknown, of which the blank takes the place

std::string joined(const std::vector<std::string>& letters) {
  std::string text;
  for (const std::string& letter : letters) text += letter;
  return text;
}

std::shared_ptr<const WordPieces> learnt(std::span<const std::string> texts,
                                         const WordPiecesOptions& options) {
  std::vector<std::string> lines;
  for (const std::string& text : texts) {
    try {
      lines.push_back(joined(letters_of(text)));
    } catch (const Error&) {  // whoever asks for the text itself is told
    }
  }
  try {
    return learnt_pieces(lines, options);
  } catch (const Error& failure) {
    throw Error(
        fmt::format("data.vocabulary: {} pieces cannot be learnt from the {} training "
                    "transcripts: {}",
                    options.vocabulary, lines.size(), failure.what()));
  }
}

}  // namespace

TranscriptPieces::TranscriptPieces(std::span<const std::string> texts,
                                   const WordPiecesOptions& options)
    : pieces_(learnt(texts, options)) {
  const std::vector<std::string> all = pieces_->pieces();
  tokens_.emplace_back("<blank>");
  tokens_.insert(tokens_.end(), all.begin() + kSpecial, all.end());
  spelt_.insert(tokens_.begin() + 1, tokens_.end());
}

std::vector<int64_t> TranscriptPieces::encode(std::string_view text, std::string& unknown) const {
  std::string spelt;
  for (const std::string& letter : letters_of(text)) {
    // Every letter that the pieces can spell is a piece of its own.
    (letter == " " || spelt_.contains(letter) ? spelt : unknown) += letter;
  }
  std::vector<int64_t> target;
  for (const int64_t id : pieces_->encode(spelt)) target.push_back(id - kSpecial + 1);
  return target;
}

}  // namespace minnow
