#include "data/log_mel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "tests/data/sound.h"
#include "tests/expect_error.h"
#include "tests/golden.h"

namespace minnow {
namespace {

using data_test::sine;

LogMelOptions options_of(const Tensor& golden) {
  const double* o = golden.data<double>();
  return {static_cast<int64_t>(o[0]),
          static_cast<int64_t>(o[1]),
          o[2],
          o[3],
          static_cast<int64_t>(o[4]),
          o[5]};
}

/// A logarithm is off by the relative error of its energy. The transform rounds by about
/// eps sqrt(log2(fft)) = 4e-7 of the frame's amplitude; the faintest bins have a hundredth of it,
/// and so are off by 4e-5, their energies by 8e-5.
TEST(LogMel, IsKaldis) {
  const test::Golden golden("log_mel");
  for (const std::string name : {"speech", "preemphasis", "telephone", "odd_rate", "long_window"}) {
    const std::vector<float> samples = golden.at(name + ".samples").to_vector<float>();
    const Tensor expected = golden.at(name + ".features");
    const Tensor features = log_mel(samples, options_of(golden.at(name + ".options")));
    ASSERT_EQ(features.shape(), expected.shape()) << name;
    double worst = 0;
    for (int64_t i = 0; i < features.numel(); ++i) {
      const double difference = features.data<float>()[i] - expected.data<float>()[i];
      worst = std::max(worst, std::abs(difference));
    }
    EXPECT_LT(worst, 1e-4) << name;
  }
}

TEST(LogMel, SilenceIsTheFloor) {
  const Tensor features = log_mel(std::vector<float>(800), {});
  const float floor = std::log(std::numeric_limits<float>::epsilon());
  for (const float value : features.to_vector<float>()) EXPECT_EQ(value, floor);
}

TEST(LogMel, FramesLieWithinTheSound) {
  EXPECT_EQ(log_mel_frames(0, {}), 0);
  EXPECT_EQ(log_mel_frames(399, {}), 0);
  EXPECT_EQ(log_mel_frames(400, {}), 1);
  EXPECT_EQ(log_mel_frames(559, {}), 1);
  EXPECT_EQ(log_mel_frames(560, {}), 2);
  EXPECT_EQ(log_mel_frames(16000, {}), 98);
  for (const int64_t samples : {400, 559, 560, 16000}) {
    EXPECT_EQ(log_mel(sine(samples, 440), {}).dim(0), log_mel_frames(samples, {}));
  }
}

TEST(LogMel, FindsATone) {
  const LogMelOptions options;
  const auto mel = [](double hertz) { return 1127 * std::log(1 + hertz / 700); };
  const double step = (mel(8000) - mel(20)) / 81;
  for (const double hertz : {200.0, 1000.0, 4000.0}) {
    const std::vector<float> row = log_mel(sine(400, hertz), options).to_vector<float>();
    const auto loudest = std::max_element(row.begin(), row.end()) - row.begin();
    EXPECT_NEAR(static_cast<double>(loudest), (mel(hertz) - mel(20)) / step - 1, 1) << hertz;
  }
}

TEST(LogMel, ThreadsSeeTheSameTables) {
  const std::vector<float> sound = sine(16000, 700);
  const LogMelOptions options{.bins = 61};  // no other test makes these
  std::vector<Tensor> features(4);
  std::vector<std::thread> threads;
  for (Tensor& out : features) threads.emplace_back([&] { out = log_mel(sound, options); });
  for (std::thread& thread : threads) thread.join();
  const std::vector<float> expected = log_mel(sound, options).to_vector<float>();
  for (const Tensor& out : features) EXPECT_EQ(out.to_vector<float>(), expected);
}

TEST(LogMel, WrongOptions) {
  const std::vector<float> sound = sine(1600, 440);
  const auto refused = [&](const LogMelOptions& options, std::initializer_list<std::string> parts) {
    expect_error([&] { log_mel(sound, options); }, parts);
  };
  expect_error([] { log_mel(std::vector<float>(399), {}); }, {"log_mel", "400 samples", "399"});
  refused({.rate = 0}, {"rate", "0"});
  refused({.bins = 0}, {"bins", "0"});
  refused({.window = 0.0001}, {"window", "0.0001"});
  refused({.hop = 0}, {"hop"});
  refused({.fft = 256}, {"fft", "400", "256"});
  refused({.fft = 513}, {"fft", "even", "513"});
  refused({.preemphasis = 1.5}, {"preemphasis", "1.5"});
  refused({.bins = 200}, {"200 bins", "512", "bin 2"});
}

TEST(NormaliseBins, MeanAndDeviation) {
  const Tensor features = Tensor::empty({50, 8});
  RandomSequence random({.seed = 1});
  for (float& value : std::span(features.data<float>(), 400)) {
    value = static_cast<float>(random.uniform(-16, 2));
  }
  const int64_t T = features.dim(0), bins = features.dim(1);
  float* const data = features.data<float>();
  for (int64_t t = 0; t < T; ++t) {
    data[t * bins] = t % 2 == 0 ? -15.94f : std::nextafter(-15.94f, 0.0f);  // the same
    data[t * bins + 1] = 3 + static_cast<float>(t % 2);                     // 3.5 +- 0.5
  }
  normalise_bins(features);
  for (int64_t b = 1; b < bins; ++b) {
    double sum = 0, squares = 0;
    for (int64_t t = 0; t < T; ++t) {
      sum += data[t * bins + b];
      squares += double{data[t * bins + b]} * data[t * bins + b];
    }
    const double n = static_cast<double>(T);
    EXPECT_NEAR(sum / n, 0, 1e-6) << b;      // each value is rounded by up to 3e-7
    EXPECT_NEAR(squares / n, 1, 1e-6) << b;  // and that twice
  }
  for (int64_t t = 0; t < T; ++t) {
    EXPECT_NEAR(data[t * bins], 0, 0.1);
    EXPECT_NEAR(data[t * bins + 1], t % 2 == 0 ? -1 : 1, 1e-6);
  }
  expect_error([] { normalise_bins(Tensor::zeros({3})); }, {"normalise_bins", "[3]"});
}

TEST(NormaliseBins, OneFrameBecomesZero) {
  const Tensor features = log_mel(sine(400, 300), {});
  normalise_bins(features);
  for (const float value : features.to_vector<float>()) EXPECT_EQ(value, 0);
}

}  // namespace
}  // namespace minnow
