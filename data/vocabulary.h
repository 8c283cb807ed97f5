#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace minnow {

/// What a recogniser's classes spell, and how they spell a transcript. Class 0 is the CTC blank.
/// Safe to call from several threads.
class Vocabulary {
 public:
  virtual ~Vocabulary() = default;

  /// "<blank>", then a text for each further class.
  virtual const std::vector<std::string>& tokens() const = 0;
  /// Indices into tokens(), none of them 0, of the text's letters_of. Letters that the vocabulary
  /// lacks are left out and added to `unknown`. Throws Error where the bytes are no UTF-8.
  virtual std::vector<int64_t> encode(std::string_view text, std::string& unknown) const = 0;
};

}  // namespace minnow
