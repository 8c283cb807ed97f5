#include "data/audio.h"

#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "data/bytes.h"
#include "engine/check.h"

namespace minnow {
namespace {

constexpr int64_t kBlock = 1 << 14;  // values decoded at a time
// A float file may be in another unit than [-1, 1], say that of 16 bits. Beyond this lies damage,
// and its square overflows.
constexpr float kMostAmplitude = 1e6f;

using SoundFile = std::unique_ptr<SNDFILE, decltype(&sf_close)>;

struct OpenAudio {
  SoundFile file{nullptr, &sf_close};
  AudioInfo info;
};

/// How many bytes of sound the header of a WAV file promises beyond the end of the file, which
/// libsndfile passes over in silence; 0 for other files, and for the lengths that programs write
/// who do not know it yet.
int64_t missing_wav_bytes(InputFile& file) {
  constexpr int64_t kHeader = 8, kUnknown = 0x7f000000;
  uint8_t bytes[12];
  const auto is = [&](int at, std::string_view id) {
    return std::memcmp(bytes + at, id.data(), 4) == 0;
  };
  if (file.size() < 12) return 0;
  file.read(bytes, 12);
  if (!is(0, "RIFF") || !is(8, "WAVE")) return 0;
  for (int64_t at = 12; at + kHeader <= file.size();) {
    file.seek(at);
    file.read(bytes, kHeader);
    const int64_t length = bytes[4] | bytes[5] << 8 | bytes[6] << 16 | int64_t{bytes[7]} << 24;
    at += kHeader;
    if (is(0, "data"))
      return length < kUnknown ? std::max<int64_t>(at + length - file.size(), 0) : 0;
    at += length + length % 2;
  }
  return 0;
}

OpenAudio open_audio(const std::filesystem::path& path) {
  InputFile file("audio", path);
  const std::string& name = file.name();
  check(file.size() > 0, "{}: the file is empty", name);
  const int64_t missing = missing_wav_bytes(file);
  check(missing == 0, "{}: the sound ends early: its header promises {} bytes more", name, missing);
  SF_INFO info{};
  OpenAudio audio;
  {
    static std::mutex opening;  // libsndfile keeps the reason of a failure in a global variable
    const std::lock_guard lock(opening);
    audio.file.reset(sf_open(path.c_str(), SFM_READ, &info));
    check(audio.file != nullptr, "{}: no audio file, or its header is damaged: {}", name,
          sf_strerror(nullptr));
  }
  check(info.channels > 0 && info.samplerate > 0,
        "{}: a sound has channels and a rate; got {} channels at {} Hz", name, info.channels,
        info.samplerate);
  check(info.frames < SF_COUNT_MAX,
        "{}: the length of the sound cannot be told: the file is a stream, or damaged", name);
  check(info.frames > 0, "{}: it holds no sound: 0 frames", name);
  audio.info = {info.frames, info.samplerate, info.channels};
  return audio;
}

/// Appends the averages of the channels of `block`, [frames, channels].
void append_mono(const std::string& name, const std::vector<float>& block, int64_t frames,
                 int64_t channels, std::vector<float>& out) {
  const float* from = block.data();
  for (int64_t t = 0; t < frames; ++t, from += channels) {
    float sum = 0;
    for (int64_t c = 0; c < channels; ++c) {
      check(std::abs(from[c]) <= kMostAmplitude,
            "{}: samples must be finite numbers up to {}; frame {} is {}", name, kMostAmplitude,
            out.size(), from[c]);
      sum += from[c];
    }
    out.push_back(channels == 1 ? sum : sum / static_cast<float>(channels));
  }
}

}  // namespace

AudioInfo audio_info(const std::filesystem::path& path) {
  return open_audio(path).info;
}

Audio read_audio(const std::filesystem::path& path, double most_seconds) {
  const auto [file, info] = open_audio(path);
  const std::string name = path.string();
  const double seconds = static_cast<double>(info.frames) / static_cast<double>(info.rate);
  check(seconds <= most_seconds, "{}: a sound may be up to {} seconds long; got {:.1f}", name,
        most_seconds, seconds);
  Audio audio{{}, info.rate};
  std::vector<float> block(
      static_cast<size_t>(std::max(kBlock / info.channels, int64_t{1}) * info.channels));
  const int64_t most = std::ssize(block) / info.channels;
  while (std::ssize(audio.samples) < info.frames) {
    const int64_t left = info.frames - std::ssize(audio.samples);
    const int64_t got = sf_readf_float(file.get(), block.data(), std::min(most, left));
    const bool failed = sf_error(file.get()) != SF_ERR_NO_ERROR;
    check(got > 0 && !failed, "{}: the sound is damaged or ends early, after {} of {} frames: {}",
          name, std::ssize(audio.samples) + got, info.frames,
          failed ? sf_strerror(file.get()) : "no more samples");
    append_mono(name, block, got, info.channels, audio.samples);
  }
  return audio;
}

void add_noise(Audio& audio, double snr_db, RandomKey key) {
  double power = 0;
  for (const float sample : audio.samples) power += double{sample} * sample;
  if (power == 0) return;
  power /= static_cast<double>(audio.samples.size());
  const double scale = std::sqrt(power * std::pow(10, -snr_db / 10));
  RandomSequence random(key);
  for (float& sample : audio.samples) sample += static_cast<float>(scale * random.normal());
}

}  // namespace minnow
