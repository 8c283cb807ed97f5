#include "data/audio.h"

#include <benchmark/benchmark.h>
#include <sndfile.h>

#include "data/log_mel.h"
#include "tests/temporary_folder.h"

/// Seconds of sound a second of one core, for each step from a FLAC file to features.
/// bench/audio.py does the same with torchaudio.
namespace minnow {
namespace {

constexpr int64_t kSeconds = 15, kRate = 16000;

/// Noise, in place of speech: no step but the coder of FLAC minds what it hears.
const Audio& sound() {
  static const Audio noise = [] {
    Audio audio{{}, kRate};
    RandomSequence random({.seed = 1});
    for (int64_t i = 0; i < kSeconds * kRate; ++i) {
      audio.samples.push_back(static_cast<float>(random.uniform(-0.1, 0.1)));
    }
    return audio;
  }();
  return noise;
}

void finish(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * kSeconds);
}

void time_read_flac(benchmark::State& state) {
  const TemporaryFolder folder;
  SF_INFO info{};
  info.samplerate = kRate;
  info.channels = 1;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  SNDFILE* file = sf_open((folder / "sound.flac").c_str(), SFM_WRITE, &info);
  sf_write_float(file, sound().samples.data(), std::ssize(sound().samples));
  sf_close(file);
  for (auto _ : state) benchmark::DoNotOptimize(read_audio(folder / "sound.flac").samples.data());
  finish(state);
}
BENCHMARK(time_read_flac)->Name("read_flac");

void time_change_speed(benchmark::State& state) {
  const double factor = static_cast<double>(state.range(0)) / 10;
  for (auto _ : state) benchmark::DoNotOptimize(change_speed(sound(), factor).samples.data());
  finish(state);
}
BENCHMARK(time_change_speed)->Name("change_speed")->ArgName("tenths")->Arg(9)->Arg(11);

void time_resample(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(resample(sound(), state.range(0)).samples.data());
  finish(state);
}
BENCHMARK(time_resample)->Name("resample")->ArgName("from 16000 to")->Arg(8000)->Arg(44100);

void time_add_noise(benchmark::State& state) {
  Audio audio = sound();
  for (auto _ : state) add_noise(audio, 30, {.seed = 1});
  finish(state);
}
BENCHMARK(time_add_noise)->Name("add_noise");

void time_log_mel(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(log_mel(sound().samples, {}).raw());
  finish(state);
}
BENCHMARK(time_log_mel)->Name("log_mel");

void time_normalise_bins(benchmark::State& state) {
  const Tensor features = log_mel(sound().samples, {});
  for (auto _ : state) normalise_bins(features);
  finish(state);
}
BENCHMARK(time_normalise_bins)->Name("normalise_bins");

void time_spec_augment(benchmark::State& state) {
  const Tensor features = log_mel(sound().samples, {});
  for (auto _ : state) spec_augment(features, {}, {.seed = 1});
  finish(state);
}
BENCHMARK(time_spec_augment)->Name("spec_augment");

}  // namespace
}  // namespace minnow

BENCHMARK_MAIN();
