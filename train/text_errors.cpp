#include "train/text_errors.h"

#include <algorithm>
#include <unordered_map>

namespace minnow {
namespace {

using Pieces = std::vector<std::string_view>;

/// One number for each piece, the same for equal ones.
std::vector<int64_t> numbered(const Pieces& pieces,
                              std::unordered_map<std::string_view, int64_t>& numbers) {
  std::vector<int64_t> ids;
  ids.reserve(pieces.size());
  for (const std::string_view piece : pieces)
    ids.push_back(numbers.emplace(piece, std::ssize(numbers)).first->second);
  return ids;
}

ErrorCounts piece_errors(const Pieces& reference, const Pieces& hypothesis) {
  std::unordered_map<std::string_view, int64_t> numbers;
  const std::vector<int64_t> ids = numbered(reference, numbers);
  return token_errors(ids, numbered(hypothesis, numbers));
}

/// A code point begins at every byte that continues none.
Pieces characters_of(std::string_view text) {
  Pieces characters;
  for (size_t start = 0; start < text.size();) {
    size_t end = start + 1;
    while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) ++end;
    characters.push_back(text.substr(start, end - start));
    start = end;
  }
  return characters;
}

}  // namespace

double ErrorCounts::rate() const {
  return static_cast<double>(errors()) / static_cast<double>(std::max<int64_t>(reference, 1));
}

ErrorCounts& ErrorCounts::operator+=(const ErrorCounts& other) {
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  reference += other.reference;
  return *this;
}

ErrorCounts token_errors(std::span<const int64_t> reference, std::span<const int64_t> hypothesis) {
  // A cost is errors * 2^32 + substitutions: sums and comparisons treat both at once. Insertions
  // and deletions follow from it, since their difference is that of the lengths.
  constexpr int64_t error = int64_t{1} << 32, substitution = error + 1;
  std::vector<int64_t> costs(hypothesis.size() + 1);  // of the reference so far, to each length
  for (size_t j = 0; j < costs.size(); ++j) costs[j] = static_cast<int64_t>(j) * error;
  for (const int64_t token : reference) {
    int64_t diagonal = costs[0];
    costs[0] += error;
    for (size_t j = 0; j < hypothesis.size(); ++j) {
      const int64_t aligned = diagonal + (hypothesis[j] == token ? 0 : substitution);
      diagonal = costs[j + 1];
      costs[j + 1] = std::min(aligned, std::min(costs[j], diagonal) + error);
    }
  }
  const int64_t unaligned = costs.back() / error - costs.back() % error;
  const int64_t surplus = std::ssize(reference) - std::ssize(hypothesis);
  return {.substitutions = costs.back() % error,
          .deletions = (unaligned + surplus) / 2,
          .insertions = (unaligned - surplus) / 2,
          .reference = std::ssize(reference)};
}

std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view blanks = " \t\n\v\f\r";
  Pieces words;
  for (size_t start = text.find_first_not_of(blanks); start != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(blanks, start), text.size());
    words.push_back(text.substr(start, end - start));
    start = text.find_first_not_of(blanks, end);
  }
  return words;
}

std::string single_spaced(std::string_view text) {
  std::string joined;
  for (const std::string_view word : words_of(text)) {
    if (!joined.empty()) joined += ' ';
    joined += word;
  }
  return joined;
}

ErrorCounts word_errors(std::string_view reference, std::string_view hypothesis) {
  return piece_errors(words_of(reference), words_of(hypothesis));
}

ErrorCounts character_errors(std::string_view reference, std::string_view hypothesis) {
  const std::string expected = single_spaced(reference), actual = single_spaced(hypothesis);
  return piece_errors(characters_of(expected), characters_of(actual));
}

void TextScore::add(std::string_view reference, std::string_view hypothesis) {
  const ErrorCounts wrong = word_errors(reference, hypothesis);
  words += wrong;
  characters += character_errors(reference, hypothesis);
  ++sentences;
  wrong_sentences += wrong.errors() > 0 ? 1 : 0;
}

TextScore& TextScore::operator+=(const TextScore& other) {
  words += other.words;
  characters += other.characters;
  sentences += other.sentences;
  wrong_sentences += other.wrong_sentences;
  return *this;
}

}  // namespace minnow
