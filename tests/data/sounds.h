#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "tests/data/files.h"

namespace minnow::data_test {

/// A WAV file of one channel: 16-bit integers or float32 as they are.
template <class Sample>
Bytes wav(const std::vector<Sample>& samples, uint32_t rate) {
  constexpr uint32_t kSize = sizeof(Sample);
  const uint32_t bytes = kSize * static_cast<uint32_t>(samples.size());
  Bytes out;
  const auto text = [&](std::string_view name) { out.insert(out.end(), name.begin(), name.end()); };
  const auto number = [&](uint32_t value, int size) {
    for (int i = 0; i < size; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  text("RIFF"), number(36 + bytes, 4), text("WAVEfmt "), number(16, 4);
  number(std::is_same_v<Sample, float> ? 3 : 1, 2), number(1, 2), number(rate, 4);
  number(kSize * rate, 4), number(kSize, 2), number(8 * kSize, 2), text("data"), number(bytes, 4);
  const size_t header = out.size();
  out.resize(header + bytes);
  if (bytes > 0) std::memcpy(out.data() + header, samples.data(), bytes);
  return out;
}

/// A tone with a little of its octave, as 16-bit integers.
inline std::vector<int16_t> tone(double seconds, double hertz, uint32_t rate = 16000) {
  std::vector<int16_t> samples;
  for (double t = 0; t < seconds; t += 1.0 / rate) {
    const double phase = 6.283185307179586 * hertz * t;
    samples.push_back(static_cast<int16_t>(8000 * std::sin(phase) + 1000 * std::sin(2 * phase)));
  }
  return samples;
}

}  // namespace minnow::data_test
