#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "data/audio.h"
#include "data/characters.h"
#include "data/dataset.h"
#include "data/feature_cache.h"
#include "data/feature_folder.h"
#include "data/log_mel.h"
#include "data/recordings.h"
#include "data/vocabulary.h"
#include "data/word_pieces.h"

namespace minnow {

struct SpeechOptions {
  int64_t rate = 16000;  ///< samples a second; other sounds are resampled to it
  int64_t bins = 80;     ///< of the log-mel features
  double preemphasis = 0;
  /// "utterance": every bin over the frames, see normalise_bins; "global": (x - mean) / std;
  /// "none".
  std::string normalise = "utterance";
  std::vector<double> mean = {};  ///< of "global": one number, or one per bin
  std::vector<double> std = {};   ///< likewise; positive
  double most_seconds = 30;       ///< longer recordings are left out
  /// What transcripts are made of: "characters" or "pieces", of words, learnt as `pieces` says.
  std::string tokens = "characters";

  bool augment = false;  ///< change the train split in each epoch, by all that follows up to `seed`
  std::vector<double> speeds{0.9, 1.0, 1.1};  ///< one of them is drawn; each of 0.8 .. 1.25
  bool spec_augment = true;
  SpecAugmentOptions masks = {};
  uint64_t seed = 0;

  /// White noise in the test split, this many decibels below each sound; infinity: none.
  double noise_db = std::numeric_limits<double>::infinity();
  double fast_share = 0;   ///< this share of the train split is sped up by 1.5 .. 2 and marked
  uint64_t data_seed = 0;  ///< of what no epoch changes: that noise, and what is sped up

  bool strict = false;  ///< no example in the place of another, where its file is damaged

  int64_t cache_bytes = int64_t{1} << 30;  ///< keep features in memory up to this size
  std::string cache_dir = {};              ///< keep them in this folder, too; empty: in none
  int64_t threads = 0;                     ///< to open the files; 0 = one per processor

  WordPiecesOptions pieces = {};  // last: GCC 12 warns of its end where a later member may throw
};

/// Throws Error, with the option's key, where an option is out of range or does not go with the
/// others.
void check_options(const SpeechOptions& options);

/// Log-mel features [T, bins] float32 of a sound at options.rate, normalised as the options say.
/// Error where it is shorter than one window.
Tensor speech_features(const Audio& audio, const SpeechOptions& options);
/// How many frames these are.
int64_t speech_frames(int64_t samples, const SpeechOptions& options);

/// A copy of the features under the masks of (options.seed, epoch, id).
Tensor masked_features(const Tensor& features, const SpeechOptions& options, int64_t epoch,
                       int64_t id);

/// Recordings of speech as sequences of log-mel features [T, bins] float32 with the letters of
/// their transcripts as targets, see Characters, or their word pieces, see TranscriptPieces; the
/// vocabulary is that of the train split. Files are decoded when they are asked for, by whoever
/// asks; features are kept as far as the cache reaches, and in a folder, if one is named.
///
/// Left out and named in warnings() are recordings whose file is missing, unreadable or too long,
/// whose transcript is empty or no UTF-8, and those too short for it: CTC behind a fourfold
/// subsampling needs a frame a token and one between equal tokens. Of the test split, and when
/// the data set fits into cache_bytes, the constructor decodes all and so finds every damaged file.
/// Otherwise it reads only headers; a file that turns out damaged only when it is asked for is an
/// Error of get() in the test split or with options.strict. Else get() gives the next one that is
/// not damaged, and warnings() names it from then on.
class Speech : public Dataset {
 public:
  /// Of list_recordings(layout, path, split). Throws Error when a list is wrong, an option is out
  /// of range, or nothing is left.
  Speech(const std::string& layout, const std::string& path, Split split, SpeechOptions options);

  int64_t size() const override { return std::ssize(items_); }
  Example get(int64_t i, int64_t epoch) const override;
  const std::vector<std::string>& classes() const override { return classes_; }
  bool ragged() const override { return true; }
  bool transcribed() const override { return true; }
  int64_t id(int64_t i) const override { return at(i).recording.id; }
  /// Frames at the recording's own speed.
  int64_t length(int64_t i) const override { return at(i).frames; }
  std::vector<int64_t> transcript(int64_t i) const override { return at(i).target; }
  std::vector<std::string> domains() const override { return domains_; }
  std::vector<std::string> warnings() const override;
  /// Letters that only the transcripts of this split have.
  std::vector<std::string> notices() const override { return notices_; }

 private:
  struct Item {
    Recording recording = {};
    int64_t domain = 0;
    std::vector<int64_t> target = {};
    int64_t samples = 0;  // at options_.rate
    int64_t frames = 0;
    double fast = 1;  // the speed of a dragger
  };

  const Item& at(int64_t i) const { return items_[static_cast<size_t>(i)]; }
  void add_domains(const std::vector<Recording>& recordings);
  void inspect(const Vocabulary& vocabulary);
  void inspect(Item& item) const;
  void note_unknown(const std::vector<std::string>& unknown);
  void decode_all();
  void leave_out(const std::vector<std::string>& reasons);
  /// Frames behind the subsampling; one where the vocabulary has no letter of the transcript.
  static int64_t needed(const Item& item) {
    return std::max<int64_t>(1, frames_needed(item.target));
  }
  bool fits(const Item& item, double speed) const;
  bool has_noise() const { return split_ == Split::test && std::isfinite(options_.noise_db); }
  double speed_of(const Item& item, int64_t epoch) const;
  Tensor decode(const Item& item, double speed) const;
  std::string description(const Item& item, double speed) const;
  Tensor features(int64_t i, double speed) const;

  Split split_;
  SpeechOptions options_;
  bool augment_;  // by the options, and only of the train split
  std::vector<std::string> classes_, domains_;
  std::vector<std::string> notices_;
  std::vector<Item> items_;
  mutable FeatureCache cache_;
  mutable FeatureFolder folder_;
  mutable std::mutex mutex_;  // guards what get() may add to, the next two
  mutable std::vector<std::string> warnings_;
  mutable std::set<int64_t> damaged_;  // examples
};

}  // namespace minnow
