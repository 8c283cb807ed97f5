#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "train/arpa.h"

namespace minnow {

struct DecoderOptions {
  int64_t beam = 1;                   ///< prefixes that the search keeps; 1: the best path alone
  std::string language_model = {};    ///< ARPA file; empty: none. Needs a beam above 1
  std::optional<double> weight = {};  ///< of the language model, which it needs; kUsualWeight
  double word_bonus = 0;              ///< other than 0 it needs a beam above 1

  static constexpr double kUsualWeight = 0.5;
  /// Whether nothing is asked for but the best path.
  bool plain() const { return beam == 1 && language_model.empty() && !weight && word_bonus == 0; }
};

/// Whether all of these are finite numbers.
bool all_finite(std::span<const float> values);

/// Turns a network's logits into text: by the best path, or by a beam search with or without a
/// language model of words.
class Decoder {
 public:
  /// `tokens` are what the classes spell, the first the blank. Error where an option is out of
  /// range, lacks what it needs, or the language model cannot be read; it is read with small
  /// letters where the tokens have no capital one.
  Decoder(DecoderOptions options, std::vector<std::string> tokens);

  /// Of logits [frames, classes], row by row. Error where they are not finite.
  std::string text(const float* logits, int64_t frames) const;

 private:
  DecoderOptions options_;
  std::vector<std::string> tokens_;
  std::optional<NgramModel> model_;
};

}  // namespace minnow
