#include <algorithm>

#include "data/log_mel.h"
#include "engine/check.h"

namespace minnow {
namespace {

struct Run {
  int64_t begin, end;
};

/// A run of 0 .. `most` neighbours among `extent`, at a place where it fits.
Run draw_run(int64_t extent, int64_t most, RandomSequence& random) {
  const int64_t size = random.below(std::min(most, extent) + 1);
  const int64_t begin = random.below(extent - size + 1);
  return {begin, begin + size};
}

}  // namespace

void spec_augment(const Tensor& features, const SpecAugmentOptions& options, RandomKey key,
                  float value) {
  check(features.rank() == 2 && features.dtype() == DType::float32,
        "spec_augment: features must be [T, bins] float32; got {} {}", to_string(features.shape()),
        to_string(features.dtype()));
  check(options.frequency_width >= 0 && options.time_share >= 0 && options.time_share <= 1,
        "spec_augment: frequency_width must not be negative and time_share lie in 0 .. 1; got {} "
        "and {}",
        options.frequency_width, options.time_share);
  const int64_t T = features.dim(0), bins = features.dim(1);
  float* const data = features.data<float>();
  RandomSequence random(key);
  for (int64_t i = 0; i < options.frequency_masks; ++i) {
    const Run run = draw_run(bins, options.frequency_width, random);
    for (int64_t t = 0; t < T; ++t) {
      std::fill(data + t * bins + run.begin, data + t * bins + run.end, value);
    }
  }
  const auto most_frames = static_cast<int64_t>(options.time_share * static_cast<double>(T));
  for (int64_t i = 0; i < options.time_masks; ++i) {
    const Run run = draw_run(T, most_frames, random);
    std::fill(data + run.begin * bins, data + run.end * bins, value);
  }
}

}  // namespace minnow
