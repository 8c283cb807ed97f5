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

  bool operator==(const LogMelOptions&) const = default;
};

/// How many frames log_mel gives for so many samples: windows that lie within the sound.
int64_t log_mel_frames(int64_t samples, const LogMelOptions& options);

/// Logarithms of mel energies [T, bins] float32. Error where the sound is shorter than one window,
/// or where a bin is too narrow to hold a point of the spectrum.
///
/// Kaldi's, as torchaudio.compliance.kaldi.fbank(window_type="hanning", remove_dc_offset=False,
/// num_mel_bins=bins, preemphasis_coefficient=preemphasis) gives them of the same samples (here in
/// [-1, 1]). Frame t starts at sample t * hop. A symmetric Hann window, zeros up to `fft`, and the
/// squared size of every point of the spectrum. Bin b sums these by a triangle of height 1 over mel
/// m0 + b d .. m0 + (b + 2) d, linear in mel = 1127 ln(1 + f / 700), with m0 = mel(20 Hz) and
/// mel(rate / 2) = m0 + (bins + 1) d. Last ln(max(energy, 2^-23)).
Tensor log_mel(std::span<const float> samples, const LogMelOptions& options);

/// Mean 0 and standard deviation 1 (that of the frames themselves, over T) of every bin, in place;
/// a bin that stays the same becomes 0.
void normalise_bins(const Tensor& features);

struct SpecAugmentOptions {
  int64_t frequency_masks = 2, frequency_width = 27;  ///< each of 0 .. width bins
  int64_t time_masks = 2;
  double time_share = 0.05;  ///< each of 0 .. share of the frames
};
/// Sets bands of bins and runs of frames to `value`, in place; what normalise_bins made has the
/// mean 0. Source: Park et al., "SpecAugment", Interspeech 2019, without the warp of time.
void spec_augment(const Tensor& features, const SpecAugmentOptions& options, RandomKey key,
                  float value = 0);

}  // namespace minnow
