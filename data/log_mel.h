#pragma once

#include <cstdint>
#include <span>

#include "engine/tensor.h"
#include "kernels/random.h"

namespace minnow {

struct LogMelOptions {
  int64_t rate = 16000;
  int64_t bins = 80;
  double window = 0.025, hop = 0.010;  ///< seconds
  int64_t fft = 512;                   ///< points; at least the window's samples
  double preemphasis = 0;              ///< x[t] - preemphasis x[t - 1]; 0: off
};

/// How many frames log_mel gives for so many samples: windows that lie within the sound.
int64_t log_mel_frames(int64_t samples, const LogMelOptions& options);

/// Logarithms of mel energies [T, bins] float32. Error where the sound is shorter than one window.
Tensor log_mel(std::span<const float> samples, const LogMelOptions& options);

/// Mean 0 and standard deviation 1 of every bin over the frames, in place.
void normalise_bins(const Tensor& features);

struct SpecAugmentOptions {
  int64_t frequency_masks = 2, frequency_width = 27;  ///< each of 0 .. width bins
  int64_t time_masks = 2;
  double time_share = 0.05;  ///< each of 0 .. share of the frames
};
/// Sets bands of bins and runs of frames to `value`, in place. Source: Park et al., "SpecAugment",
/// Interspeech 2019.
void spec_augment(const Tensor& features, const SpecAugmentOptions& options, RandomKey key,
                  float value = 0);

}  // namespace minnow
