#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "data/wrappers.h"
#include "kernels/random.h"

namespace minnow {

enum class DraggerKind {
  label,      ///< the input stays, its label or its transcript is a random wrong one
  noise,      ///< the input is pure noise; a picture's label is random, a transcript stays
  mix,        ///< either, half of the time
  duplicate,  ///< a copy, label and all, of one of kOriginals examples
  other,      ///< the input is one of another data set; label and transcript as with noise
  speed,      ///< recordings only, and made by Speech: the sound is far too fast
};
/// The name of a kind, as above; throws Error for any other one.
DraggerKind dragger_kind_from(std::string_view name);

/// The examples that duplicates are copies of; fewer where the data set has fewer.
inline constexpr int64_t kOriginals = 10;

/// Turns a share of the examples into marked draggers, chosen by (seed, id) alone: all others stay
/// as they are, and those chosen for a share are also chosen for every larger one. What they become
/// depends on (seed, id), too, and of duplicates and wrong transcripts on the other examples.
///
/// A wrong transcript is that of another example, or random letters where none is found that is
/// another one and short enough; a fourfold subsampling of 0.8 times the example's length leaves it
/// the frames that CTC needs. Noise is uniform in pictures; in features normal, with their own mean
/// and standard deviation. Copies of a picture are augmented each in its own way, those of a
/// recording, which is augmented before, all as their original is. An input of another data set is
/// cut or repeated along each axis to the size of the one that it replaces.
class Draggers : public Wrapper {
 public:
  /// `fraction` in [0, 1]; `kind` not speed. The inputs must be uint8 or float32 where noise is
  /// wanted, and like those of `foreign`, which only DraggerKind::other needs, in dtype and rank.
  Draggers(std::shared_ptr<const Dataset> base, double fraction, DraggerKind kind, uint64_t seed,
           std::shared_ptr<const Dataset> foreign = nullptr);

  int64_t length(int64_t i) const override { return base().length(source(i)); }
  std::vector<int64_t> transcript(int64_t i) const override { return base().transcript(source(i)); }
  Example get(int64_t i, int64_t epoch) const override;

 private:
  bool chosen(int64_t id) const;
  /// The example that i is made of: itself, unless it is a duplicate.
  int64_t source(int64_t i) const;
  std::vector<int64_t> wrong_transcript(int64_t i, const std::vector<int64_t>& right,
                                        RandomSequence& random) const;

  double fraction_;
  DraggerKind kind_;
  uint64_t seed_;
  std::shared_ptr<const Dataset> foreign_;
  std::vector<int64_t> originals_;  // of duplicates
};

}  // namespace minnow
