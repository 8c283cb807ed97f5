#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// From the log-probabilities of a network trained by CTC (Graves et al., 2006) to text. Class 0 is
/// the blank; log-probabilities of T frames are [T, classes], row by row.
namespace minnow {

/// The tokens of the likeliest alignment: the best class of each frame, the lowest of equal ones;
/// what repeats counts once, blanks not at all. Logits serve as well.
std::vector<int64_t> greedy_path(const float* log_probs, int64_t frames, int64_t classes);

/// Joins tokens to words with single spaces between them. Tokens are characters, " " among them, or
/// pieces of words where "▁" (U+2581) stands for a space, as sentencepiece writes them. The blank,
/// tokens[0], says nothing. Error where an id is none of the tokens'.
std::string text_of(const std::vector<int64_t>& ids, const std::vector<std::string>& tokens);

}  // namespace minnow
