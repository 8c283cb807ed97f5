#include "tests/data/corpus.h"

#include <sndfile.h>

#include <cmath>
#include <utility>

#include "tests/data/sound.h"

namespace minnow::data_test {

std::vector<float> tone(double seconds, double hertz, int rate) {
  std::vector<float> samples;
  const auto n = std::llround(seconds * rate);
  for (int64_t t = 0; t < n; ++t) {
    const double time = static_cast<double>(t) / rate;
    samples.push_back(
        static_cast<float>(0.3 * std::sin(6.2832 * hertz * time * (1 + 0.25 * time / seconds))));
  }
  return samples;
}

void Corpus::add(const std::string& list, const std::string& name, const std::string& text,
                 const std::vector<float>& samples, int rate, const std::string& more) {
  write_sound(path() / name, samples, SF_FORMAT_WAV | SF_FORMAT_FLOAT, rate);
  add_line(list, name, text, more);
}

void Corpus::add_line(const std::string& list, const std::string& name, const std::string& text,
                      const std::string& more) {
  std::string& lines = lists_[list];
  lines += fmt::format("{{\"audio\": \"{}\", \"text\": \"{}\"{}}}\n", name, text, more);
  write_file(path() / (list + ".json"), Bytes(lines.begin(), lines.end()));
}

Speech Corpus::open(Split split, SpeechOptions options) const {
  return Speech("manifest", path().string(), split, std::move(options));
}

void fill(Corpus& corpus) {
  for (int k = 0; k < 12; ++k) {
    const std::vector<float> sound = tone(0.5 + 0.1 * k, 200 + 50 * k);
    corpus.add("train", fmt::format("{}.wav", k), k % 2 == 0 ? "ab a" : "Bcc", sound, 16000,
               k % 3 == 0 ? ", \"domain\": \"tv\"" : "");
  }
  for (int k = 0; k < 3; ++k) {
    corpus.add("test", fmt::format("t{}.wav", k), "abc", tone(0.7, 300 + k));
  }
}

}  // namespace minnow::data_test
