#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace minnow {

/// A back-off n-gram model of words (Katz, 1987). Words are numbers here; all words that the model
/// does not know have the number of <unk>.
class NgramModel {
 public:
  /// Reads the text format of ARPA, as SRILM and KenLM write it: any order, words and numbers
  /// between blanks. `lower_case` turns the letters of words into small ones, as letters_of does;
  /// of n-grams that become the same the likeliest stays. Where the file has no <unk> (or <UNK>),
  /// its probability is 1e-100, as in KenLM. Error with the file and the line where the text is no
  /// such model or ends before \end\, or where it has no <s> or </s>.
  static NgramModel read(const std::filesystem::path& path, bool lower_case = false);

  int64_t order() const { return order_; }
  /// How many words it knows, <s>, </s> and <unk> among them.
  int64_t size() const { return unigrams_; }
  int64_t id(std::string_view word) const;

  /// ln P(word | history), the oldest word of the history first: its last order() - 1 words count.
  /// A sentence's history begins with <s>, and its last word is </s>. Error where a number is no
  /// word's.
  double score(std::span<const int64_t> history, int64_t word) const;
  /// The same for words.
  double score(const std::vector<std::string>& history, std::string_view word) const;

 private:
  friend class ArpaReader;

  /// A sequence of words, as a path in a tree.
  struct Node {
    double score = 0;     ///< ln P(last word | those before it)
    double back_off = 0;  ///< ln of the weight of shorter histories where this one ends in nothing
    bool listed = false;  ///< false where the model only has longer sequences that begin so
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>{}(word); }
  };

  /// The node of a sequence with one more word; -1 where there is none.
  int64_t child(int64_t node, int64_t word) const;

  int64_t order_ = 0;
  int64_t unigrams_ = 0;
  int64_t unknown_ = 0;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
  std::vector<Node> nodes_{Node{}};                 ///< the first: the empty sequence
  std::unordered_map<uint64_t, int64_t> children_;  ///< of node << 32 | word
};

}  // namespace minnow
