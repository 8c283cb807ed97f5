#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// From the log-probabilities of a network trained by CTC (Graves et al., 2006) to text. Class 0 is
/// the blank; log-probabilities of T frames are [T, classes], row by row.
namespace minnow {

class NgramModel;

/// The tokens of the likeliest alignment: the best class of each frame, the lowest of equal ones;
/// what repeats counts once, blanks not at all. Logits serve as well.
std::vector<int64_t> greedy_path(const float* log_probs, int64_t frames, int64_t classes);

/// One of the n best token sequences.
struct Hypothesis {
  std::vector<int64_t> tokens;
  /// ln of the probability of its alignments, as far as they were kept, and what its words add.
  double score = 0;
};

struct BeamOptions {
  int64_t width = 16;  ///< prefixes kept after each frame
  /// weight * ln P(words) and word_bonus for each word are added to a hypothesis' score, a word's
  /// as soon as the next one begins. The sentence's end counts too, as a word without bonus.
  const NgramModel* model = nullptr;
  double weight = 1;
  double word_bonus = 0;
  /// What the classes spell, as for text_of; only read for the model and the bonus. A token may
  /// begin with a space or "▁", and must have none further on.
  const std::vector<std::string>* tokens = nullptr;
};

/// Prefix beam search (Hannun et al., 2014, "First-Pass Large Vocabulary Continuous Speech
/// Recognition using Bi-Directional Recurrent DNNs"): adds up the probabilities of all alignments
/// of a token sequence. Returns at most `width` different sequences, the best first; those that
/// are left to probability zero are not among them. Exact where `width` is at least the number of
/// prefixes. Error where a log-probability is not a number or above all bounds, where a frame
/// leaves no sequence possible, or where the tokens do not suit the model. Time: frames * width *
/// classes.
std::vector<Hypothesis> beam_search(const float* log_probs, int64_t frames, int64_t classes,
                                    const BeamOptions& options);

/// Joins tokens to words with single spaces between them. Tokens are characters, " " among them, or
/// pieces of words where "▁" (U+2581) stands for a space, as sentencepiece writes them. The blank,
/// tokens[0], says nothing. Error where an id is none of the tokens'.
std::string text_of(const std::vector<int64_t>& ids, const std::vector<std::string>& tokens);

}  // namespace minnow
