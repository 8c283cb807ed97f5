#include <soxr.h>

#include <cmath>
#include <vector>

#include "data/audio.h"
#include "engine/check.h"

namespace minnow {
namespace {

constexpr double kMostRatio = 256;  // of two rates
constexpr double kSpeedSteps = 1000;

/// The sound at `to` samples where there were `from`, in phase with it.
std::vector<float> stretched(const std::vector<float>& samples, double from, double to) {
  check(to <= kMostRatio * from && from <= kMostRatio * to,
        "audio: sound can be resampled by 1/{} to {}; got {} / {}", kMostRatio, kMostRatio, to,
        from);
  const double count = static_cast<double>(samples.size()) * to / from;
  std::vector<float> out(static_cast<size_t>(std::llround(count)));
  if (out.empty()) return out;
  const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);  // threads: the loader has its own
  const soxr_error_t error = soxr_oneshot(from, to, 1, samples.data(), samples.size(), nullptr,
                                          out.data(), out.size(), nullptr, &io, &quality, &runtime);
  if (error != nullptr) throw RunError(fmt::format("audio: soxr cannot resample: {}", error));
  return out;
}

}  // namespace

Audio resample(const Audio& audio, int64_t rate) {
  check(audio.rate > 0 && rate > 0, "audio: the rates to resample must be positive; got {} and {}",
        audio.rate, rate);
  if (rate == audio.rate) return audio;
  return {stretched(audio.samples, static_cast<double>(audio.rate), static_cast<double>(rate)),
          rate};
}

Audio change_speed(const Audio& audio, double factor) {
  check(factor > 0 && factor <= kMostRatio, "audio: the speed must lie in 1/{0} .. {0}; got {1}",
        kMostRatio, factor);
  const double steps = std::round(factor * kSpeedSteps);
  if (steps == kSpeedSteps) return audio;
  return {stretched(audio.samples, steps, kSpeedSteps), audio.rate};
}

}  // namespace minnow
