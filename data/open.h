#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/reviews.h"
#include "data/speech.h"

namespace minnow {

/// What a recipe says about its data.
struct DatasetConfig {
  std::string name = "shapes";
  std::string path = {};             ///< of the files; `shapes` needs none
  int64_t image_size = 0;            ///< pixels; 0 = the data set's own, which imagefolder has not
  int64_t train_size = 10000;        ///< pictures of `shapes`, sounds of `tones`
  int64_t test_size = 2000;          ///< likewise
  uint64_t seed = 0;                 ///< of what `shapes` and `tones` make, of draggers and noise
  int64_t limit = 0;                 ///< use that many examples of the split only; 0 = all
  double dragger_fraction = 0;       ///< share of the train split turned into draggers
  std::string dragger_kind = "mix";  ///< one of DraggerKind's names
  /// imagefolder and recordings: decode all at once where it fits into so many bytes
  int64_t cache_bytes = int64_t{1} << 30;
  int64_t threads = 0;  ///< for that; 0 = one per processor
  /// Of recordings and tones; data_seed, fast_share, cache_bytes and threads come from above,
  /// pieces from below.
  SpeechOptions speech = {};
  ReviewsOptions reviews = {};  ///< vocabulary and pieces also for recordings
};

/// The data sets that open_dataset knows.
const std::vector<std::string>& dataset_names();

/// Opens a split, as uint8 pictures or as features of speech, and plants the draggers in the train
/// split. Throws Error for an unknown name, a size or a kind of draggers that the data set
/// cannot give, or bad files.
std::shared_ptr<const Dataset> open_dataset(const DatasetConfig& config, Split split);

/// The two steps of it, for those who hold out examples in between. The draggers of kind "speed"
/// are there after the first.
std::shared_ptr<const Dataset> open_unplanted(const DatasetConfig& config, Split split);
std::shared_ptr<const Dataset> plant_draggers(std::shared_ptr<const Dataset> train,
                                              const DatasetConfig& config);

/// Mean and standard deviation of the pictures, in 0..1: one number, or one per channel.
struct Normalisation {
  std::vector<double> mean;
  std::vector<double> std;
};
/// The usual figures of a data set; 0.5 and 0.5 where there are none.
Normalisation default_normalisation(const std::string& name);

}  // namespace minnow
