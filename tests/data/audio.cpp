#include "data/audio.h"

#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "engine/files.h"
#include "tests/data/sound.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using data_test::sine;
using data_test::write_sound;

constexpr int kWav16 = SF_FORMAT_WAV | SF_FORMAT_PCM_16;
constexpr int kWavFloat = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
constexpr int kFlac = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
constexpr int kOgg = SF_FORMAT_OGG | SF_FORMAT_VORBIS;

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, double{std::abs(a[i] - b[i])});
  return largest;
}

class AudioFile : public testing::Test {
 protected:
  fs::path path(const std::string& name = "sound") const { return folder_ / name; }
  /// Expects both ways to read the file to fail with these parts and its name in the message.
  void expect_refused(const fs::path& file, const std::string& part) {
    expect_error([&] { read_audio(file); }, {file.string(), part});
    expect_error([&] { audio_info(file); }, {file.string(), part});
  }

 private:
  TemporaryFolder folder_;
};

/// 16 bits: half a step, and half of one again as libsndfile multiplies by 32767 but divides by
/// 32768. OGG: what its coder leaves out.
TEST_F(AudioFile, ReadsWhatWasWritten) {
  const std::vector<float> sound = sine(4000, 440);
  for (const auto& [format, tolerance] :
       {std::pair{kWav16, 1.0 / 32768}, {kWavFloat, 0.0}, {kFlac, 1.0 / 32768}, {kOgg, 0.05}}) {
    write_sound(path(), sound, format);
    const AudioInfo info = audio_info(path());
    EXPECT_EQ(info.frames, 4000);
    EXPECT_EQ(info.rate, 16000);
    EXPECT_EQ(info.channels, 1);
    const Audio audio = read_audio(path());
    EXPECT_EQ(audio.rate, 16000);
    EXPECT_LE(largest_difference(audio.samples, sound), tolerance) << std::hex << format;
  }
}

TEST_F(AudioFile, EightBitsAndTelephoneRate) {
  const std::vector<float> sound = sine(800, 300, 8000);
  write_sound(path(), sound, SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8000);
  const Audio audio = read_audio(path());
  EXPECT_EQ(audio.rate, 8000);
  EXPECT_LE(largest_difference(audio.samples, sound), 1.0 / 128);
}

/// More than a block of 1 << 14 values, which three channels do not divide.
TEST_F(AudioFile, AveragesChannels) {
  constexpr int64_t frames = 20000;
  std::vector<float> interleaved, mean;
  for (int64_t t = 0; t < frames; ++t) {
    const float x = static_cast<float>(t % 64) / 64;
    interleaved.insert(interleaved.end(), {x, -x / 2, x});
    mean.push_back((x - x / 2 + x) / 3);
  }
  write_sound(path(), interleaved, kWavFloat, 16000, 3);
  EXPECT_EQ(audio_info(path()).channels, 3);
  EXPECT_EQ(audio_info(path()).frames, frames);
  EXPECT_EQ(read_audio(path()).samples, mean);
}

TEST_F(AudioFile, MissingEmptyOrNoAudio) {
  expect_refused(path("missing.wav"), "cannot open");
  expect_refused(path().parent_path(), "is not a file");
  std::ofstream(path("empty.wav")).close();
  expect_refused(path("empty.wav"), "the file is empty");
  std::ofstream(path("text.wav")) << "She had your dark suit in greasy wash water all year.\n";
  expect_refused(path("text.wav"), "no audio file");
  std::ofstream(path("short.wav")) << "RIFF";
  expect_refused(path("short.wav"), "no audio file");
}

TEST_F(AudioFile, NoFrames) {
  write_sound(path(), {}, kWav16);
  expect_refused(path(), "0 frames");
}

/// A FLAC file tells its length in the header, the rest of it is decoded to see that it is there.
TEST_F(AudioFile, EndsEarly) {
  RandomSequence random({.seed = 3});
  std::vector<float> noise;
  for (int64_t i = 0; i < 16000; ++i) noise.push_back(static_cast<float>(random.uniform(-1, 1)));
  write_sound(path("cut.wav"), noise, kWav16);
  fs::resize_file(path("cut.wav"), fs::file_size(path("cut.wav")) - 5000);
  expect_refused(path("cut.wav"), "ends early: its header promises 5000 bytes more");
  write_sound(path("cut.flac"), noise, kFlac);
  fs::resize_file(path("cut.flac"), fs::file_size(path("cut.flac")) / 2);
  EXPECT_EQ(audio_info(path("cut.flac")).frames, 16000);
  expect_error([&] { read_audio(path("cut.flac")); },
               {path("cut.flac").string(), "ends early, after ", " of 16000 frames: "});
}

/// Programs that write to a pipe do not know the length when they write the header.
TEST_F(AudioFile, StreamedWav) {
  const std::vector<float> sound = sine(1000, 440);
  write_sound(path(), sound, kWavFloat);
  std::string bytes = read_text_file(path());
  bytes.replace(bytes.find("data") + 4, 4, 4, '\xff');
  std::ofstream(path(), std::ios::binary) << bytes;
  EXPECT_EQ(read_audio(path()).samples, sound);
}

/// Every frame of a FLAC file has a check sum, so one bit is enough.
TEST_F(AudioFile, DamagedFlac) {
  constexpr int64_t kHeader = 86;
  write_sound(path(), sine(16000, 440), kFlac);
  const std::string whole = read_text_file(path());
  for (int64_t at = kHeader; at < std::ssize(whole); at += 97) {
    std::string bytes = whole;
    bytes[static_cast<size_t>(at)] ^= static_cast<char>(1 << at % 8);
    std::ofstream(path(), std::ios::binary) << bytes;
    expect_error([&] { read_audio(path()); }, {path().string(), "damaged"});
  }
}

TEST_F(AudioFile, SamplesThatAreNoNumbers) {
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 1e20f}) {
    std::vector<float> sound = sine(1000, 440);
    sound[700] = wrong;
    write_sound(path(), sound, kWavFloat);
    expect_error([&] { read_audio(path()); },
                 {path().string(), "finite", fmt::format("frame 700 is {}", wrong)});
  }
}

TEST_F(AudioFile, TooLong) {
  write_sound(path(), std::vector<float>(3600 * 1000), SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 1000);
  EXPECT_EQ(audio_info(path()).frames, 3600 * 1000);
  expect_error([&] { read_audio(path()); }, {path().string(), "600 seconds", "3600.0"});
  write_sound(path(), sine(16000, 440), kWav16);
  EXPECT_EQ(read_audio(path(), 1).samples.size(), 16000u);
  expect_error([&] { read_audio(path(), 0.9); }, {"0.9 seconds", "1.0"});
}

TEST_F(AudioFile, ManyThreads) {
  const std::vector<float> sound = sine(16000, 440);
  write_sound(path("a.flac"), sound, kFlac);
  std::ofstream(path("b.flac")) << "no sound";
  const std::vector<float> expected = read_audio(path("a.flac")).samples;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 8; ++repeat) {
        EXPECT_EQ(read_audio(path("a.flac")).samples, expected);
        expect_error([&] { read_audio(path("b.flac")); }, {"b.flac", "no audio file"});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

double power(const Audio& audio) {
  double sum = 0;
  for (const float x : audio.samples) sum += double{x} * x;
  return sum / static_cast<double>(audio.samples.size());
}

/// The filter's side lobes are 92 dB down; this is what it may add to or take from a sine.
constexpr double kLeak = 2.5e-5;

TEST(Resample, ASineStaysTheSine) {
  for (const int64_t rate : {8000, 11025, 22050, 44100, 48000}) {
    for (const double hertz : {0.0, 100.0, 1000.0, 3500.0}) {
      const Audio out = resample({sine(16000, hertz), 16000}, rate);
      EXPECT_EQ(out.rate, rate);
      // In phase: sample t of the new rate is the sound at t / rate.
      const std::vector<float> expected = sine(rate, hertz, static_cast<double>(rate));
      ASSERT_EQ(out.samples.size(), expected.size());
      for (size_t t = 1000; t < expected.size() - 1000; ++t) {
        ASSERT_NEAR(out.samples[t], expected[t], kLeak) << hertz << " Hz at " << rate << ", " << t;
      }
    }
  }
}

TEST(Resample, AConstantStays) {
  const Audio out = resample({std::vector<float>(16000, 0.5f), 16000}, 11025);
  for (size_t t = 500; t < out.samples.size() - 500; ++t) ASSERT_NEAR(out.samples[t], 0.5, 1e-6);
}

/// 5 and 7 kHz do not exist at 8 kHz; as 3 and 1 kHz they must not come back.
TEST(Resample, RemovesWhatTheRateCannotHold) {
  for (const double hertz : {4010.0, 5000.0, 7000.0}) {
    const Audio out = resample({sine(16000, hertz), 16000}, 8000);
    for (size_t t = 1000; t < 7000; ++t) ASSERT_NEAR(out.samples[t], 0, kLeak) << hertz;
  }
}

TEST(Resample, TheSameRateIsTheIdentity) {
  const std::vector<float> sound = sine(1000, 440);
  EXPECT_EQ(resample({sound, 16000}, 16000).samples, sound);
}

TEST(Resample, Lengths) {
  for (const int64_t samples : {0, 1, 2, 3, 100, 16001}) {
    const Audio audio{sine(samples, 440), 16000};
    for (const int64_t rate : {100, 8000, 11025, 44100, 48000, 400000}) {
      const auto expected =
          std::llround(static_cast<double>(samples) * static_cast<double>(rate) / 16000);
      EXPECT_EQ(std::ssize(resample(audio, rate).samples), expected) << samples << " to " << rate;
    }
  }
}

TEST(Resample, WrongRates) {
  expect_error([] { resample({{0, 0}, 16000}, 0); }, {"positive", "16000 and 0"});
  expect_error([] { resample({{0, 0}, 0}, 8000); }, {"positive", "0 and 8000"});
  expect_error([] { resample({{0, 0}, 16000}, 1); }, {"1/256"});
}

TEST(ChangeSpeed, LengthAndPitch) {
  const Audio audio{sine(16000, 1000), 16000};
  EXPECT_EQ(change_speed(audio, 1).samples, audio.samples);
  for (const double factor : {0.9, 1.1}) {
    const Audio out = change_speed(audio, factor);
    EXPECT_EQ(out.rate, 16000);
    const std::vector<float> expected = sine(std::llround(16000 / factor), 1000 * factor);
    ASSERT_EQ(out.samples.size(), expected.size());
    for (size_t t = 1000; t < expected.size() - 1000; ++t) {
      ASSERT_NEAR(out.samples[t], expected[t], kLeak) << factor << ", " << t;
    }
  }
  expect_error([&] { change_speed(audio, 0); }, {"speed", "1/256 .. 256", "0"});
}

/// The power of n normal numbers is off by a share of sqrt(2 / n); five times that are allowed.
TEST(AddNoise, HasThePowerAsked) {
  constexpr int64_t n = 16000;
  const Audio clean{sine(n, 440), 16000};
  for (const double snr : {0.0, 10.0, 30.0}) {
    Audio noisy = clean, again = clean, other = clean;
    add_noise(noisy, snr, {.seed = 1});
    add_noise(again, snr, {.seed = 1});
    add_noise(other, snr, {.seed = 2});
    EXPECT_EQ(noisy.samples, again.samples);
    EXPECT_NE(noisy.samples, other.samples);
    Audio noise = noisy;
    for (size_t i = 0; i < n; ++i) noise.samples[i] -= clean.samples[i];
    const double expected = power(clean) * std::pow(10, -snr / 10);
    EXPECT_NEAR(power(noise) / expected, 1, 5 * std::sqrt(2.0 / n));
  }
  Audio silence{std::vector<float>(100), 16000};
  add_noise(silence, 10, {});
  EXPECT_EQ(silence.samples, std::vector<float>(100));
}

}  // namespace
}  // namespace minnow
