#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/feature_cache.h"
#include "data/speech.h"

namespace minnow {

/// A built-in data set of transcribed sounds that needs no files: 1 to 3 words of 2 to 5 letters a
/// to h, as features [T, bins] float32, see Speech. A letter is two sines at once, for 60 to 120
/// ms, after a short pause; between words the pause is longer. Letters, lengths, pitch, loudness
/// and noise are random, keyed by (data_seed, id) alone, so that a sound is the same whatever
/// `count` is.
class Tones : public Dataset {
 public:
  /// Of the options count rate, at least 8000, bins, preemphasis, normalise, noise_db in place of
  /// the noise, and spec_augment with its own; there are no speeds.
  Tones(Split split, int64_t count, SpeechOptions options);

  int64_t size() const override { return count_; }
  Example get(int64_t i, int64_t epoch) const override;
  const std::vector<std::string>& classes() const override;
  bool ragged() const override { return true; }
  bool transcribed() const override { return true; }
  int64_t id(int64_t i) const override { return i + (split_ == Split::test ? kFirstTestId : 0); }
  int64_t length(int64_t i) const override;
  std::vector<int64_t> transcript(int64_t i) const override;

 private:
  /// A sound of its own, or the pause of a token that has none.
  struct Note {
    int64_t token = 0;
    int64_t begin = 0, end = 0;  // samples
    double low = 0, high = 0;    // Hz
    double loudness = 0;
  };
  struct Score {
    std::vector<Note> notes;
    int64_t samples = 0;
    double noise_db = 0;
  };

  Score compose(int64_t id) const;
  Tensor perform(const Score& score, int64_t id) const;

  Split split_;
  int64_t count_;
  SpeechOptions options_;
  mutable FeatureCache cache_;
};

}  // namespace minnow
