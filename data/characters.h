#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/vocabulary.h"

namespace minnow {

/// The letters of a UTF-8 text, one string each: lower case (Latin, Greek and Cyrillic ones),
/// blanks and control characters as one " " for a run and none at the ends. Throws Error where the
/// bytes are no UTF-8.
std::vector<std::string> letters_of(std::string_view text);
/// The same letters as one text.
std::string cleaned(std::string_view text);
/// The text with all letters as letters_of gives them, blanks as they are. Throws Error likewise.
std::string lower_case(std::string_view text);

/// A vocabulary of single letters: the CTC blank, then what the training transcripts hold, sorted.
class Characters final : public Vocabulary {
 public:
  /// Of these texts; those that are no UTF-8 do not count. Throws Error where there is no letter.
  explicit Characters(std::span<const std::string> texts);

  /// "<blank>", " ", "'", "a", "b", ...
  const std::vector<std::string>& tokens() const override { return tokens_; }
  std::vector<int64_t> encode(std::string_view text, std::string& unknown) const override;

 private:
  std::vector<std::string> tokens_;
  std::map<std::string, int64_t, std::less<>> indices_;
};

/// Frames that CTC needs for a target: one a token, and a blank between two that are the same.
int64_t frames_needed(std::span<const int64_t> target);

/// What a fourfold subsampling leaves of so many frames: twice a window of 3 in steps of 2.
int64_t subsampled_frames(int64_t frames);

}  // namespace minnow
