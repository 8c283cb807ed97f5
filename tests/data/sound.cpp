#include "tests/data/sound.h"

#include <sndfile.h>

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace minnow::data_test {

std::vector<float> sine(int64_t samples, double hertz, double rate, double amplitude) {
  std::vector<float> out;
  for (int64_t t = 0; t < samples; ++t) {
    const double cycles = hertz * static_cast<double>(t) / rate;
    out.push_back(static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * cycles)));
  }
  return out;
}

void write_sound(const std::filesystem::path& path, const std::vector<float>& samples, int format,
                 int rate, int channels) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  if (file == nullptr) throw std::runtime_error(sf_strerror(nullptr));
  const auto count = static_cast<sf_count_t>(samples.size());
  const bool whole = sf_write_float(file, samples.data(), count) == count;
  if (sf_close(file) != 0 || !whole) throw std::runtime_error("cannot write " + path.string());
}

}  // namespace minnow::data_test
