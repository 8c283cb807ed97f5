#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "kernels/random.h"

namespace minnow {

/// One channel of sound.
struct Audio {
  std::vector<float> samples;  ///< in [-1, 1]
  int64_t rate = 0;            ///< samples a second
};

/// What a file says of itself.
struct AudioInfo {
  int64_t frames = 0, rate = 0, channels = 0;
};

/// Reads only the header. Error that names the file where it is missing or no audio.
AudioInfo audio_info(const std::filesystem::path& path);

/// Reads WAV, FLAC, OGG or what else libsndfile knows; channels are averaged. Error that names the
/// file where it is missing, no audio, empty, longer than `most_seconds`, or holds samples that are
/// no finite numbers.
Audio read_audio(const std::filesystem::path& path, double most_seconds = 600);

/// The same sound at another rate, of 1/256 to 256 times this one: round(samples * rate / its rate)
/// samples, the first at the same time. The filter is the soxr library's "high quality", of 20
/// bits: of the lower of the two bands 91 % pass as they were; from its edge on frequencies are 120
/// dB down.
Audio resample(const Audio& audio, int64_t rate);

/// The sound played `factor` times as fast, pitch included: 1 / factor as many samples, filtered as
/// resample does. The factor counts to a thousandth.
Audio change_speed(const Audio& audio, double factor);

/// Adds white noise whose power is `snr_db` decibels below the sound's; silence stays as it is.
void add_noise(Audio& audio, double snr_db, RandomKey key);

}  // namespace minnow
