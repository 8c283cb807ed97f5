#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace minnow::data_test {

/// A sine of `hertz` with the amplitude given.
std::vector<float> sine(int64_t samples, double hertz, double rate = 16000, double amplitude = 0.5);

/// Writes interleaved samples; `format` is libsndfile's, as SF_FORMAT_WAV | SF_FORMAT_PCM_16.
void write_sound(const std::filesystem::path& path, const std::vector<float>& samples, int format,
                 int rate = 16000, int channels = 1);

}  // namespace minnow::data_test
