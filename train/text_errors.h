#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// How far a hypothesis is from a reference: word and character error rates.
namespace minnow {

/// What an alignment with the fewest errors counts; of several such alignments, one with the most
/// tokens right (the fewest substitutions), so that the counts do not depend on a search's path.
struct ErrorCounts {
  int64_t substitutions = 0;
  int64_t deletions = 0;   ///< tokens of the reference that the hypothesis lacks
  int64_t insertions = 0;  ///< tokens of the hypothesis that the reference lacks
  int64_t reference = 0;   ///< tokens of the reference

  int64_t errors() const { return substitutions + deletions + insertions; }
  /// errors / max(reference, 1): above 1 where much is inserted; the insertions themselves where
  /// the reference is empty.
  double rate() const;
  /// Counts of several sentences; rate() is then the rate over all their tokens.
  ErrorCounts& operator+=(const ErrorCounts& other);
};

/// Levenshtein distance (1966) of token sequences. Time is the product of their lengths, memory
/// grows with the hypothesis alone.
ErrorCounts token_errors(std::span<const int64_t> reference, std::span<const int64_t> hypothesis);

/// The words of a text: what stands between blanks (spaces, tabs, ends of lines).
std::vector<std::string_view> words_of(std::string_view text);

/// The same words with one space between them.
std::string single_spaced(std::string_view text);

/// Errors in words_of the two texts. Case and punctuation count.
ErrorCounts word_errors(std::string_view reference, std::string_view hypothesis);

/// Errors in characters, UTF-8's code points, with one space between words that counts as a
/// character, as ESPnet and jiwer count; blanks at the ends and further ones do not count.
ErrorCounts character_errors(std::string_view reference, std::string_view hypothesis);

/// Errors over the sentences of a data set.
struct TextScore {
  ErrorCounts words;
  ErrorCounts characters;
  int64_t sentences = 0;
  int64_t wrong_sentences = 0;  ///< those with a word error

  void add(std::string_view reference, std::string_view hypothesis);
  TextScore& operator+=(const TextScore& other);
};

}  // namespace minnow
