#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "data/audio.h"
#include "engine/check.h"

namespace minnow {
namespace {

constexpr int64_t kMostRatio = 256;  // of two rates
constexpr int64_t kHalf = 64;        // samples of the lower rate on either side that a filter sees
// The window's main lobe reaches 4 / (2 kHalf) cycles a sample to either side, which is 1/16 of the
// band; so the filter is flat up to 7/8 of the band and has ended where the band does.
constexpr double kCutoff = 15.0 / 16;
constexpr int64_t kSpeedSteps = 1000;

/// `up` samples for every `down` of the input.
struct Ratio {
  int64_t up, down;
};

Ratio ratio_of(int64_t up, int64_t down) {
  check(up <= kMostRatio * down && down <= kMostRatio * up,
        "audio: sound can be resampled by 1/{} to {}; got {} / {}", kMostRatio, kMostRatio, up,
        down);
  const int64_t common = std::gcd(up, down);
  return {up / common, down / common};
}

/// The 4-term Blackman-Harris window at -1 .. 1; all but its main lobe is 92 dB down. Source:
/// Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", 1978.
double window(double x) {
  const double c = std::cos(std::numbers::pi * x);  // cos 2y = 2 c^2 - 1, cos 3y = 4 c^3 - 3 c
  return 0.35875 + 0.48829 * c + 0.14128 * (2 * c * c - 1) + 0.01168 * (4 * c * c * c - 3 * c);
}

/// Weights of the samples around a place that lies `fraction` behind the middle one: a low pass
/// that ends with the lower of the two bands.
std::vector<float> make_filter(double fraction, int64_t half) {
  std::vector<double> weights;
  for (int64_t k = 1 - half; k <= half; ++k) {
    const double x = (static_cast<double>(k) - fraction) / static_cast<double>(half);  // -1 .. 1
    const double angle = std::numbers::pi * kCutoff * static_cast<double>(kHalf) * x;
    weights.push_back(window(x) * (angle == 0 ? 1 : std::sin(angle) / angle));
  }
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<float> filter(weights.size());
  std::transform(weights.begin(), weights.end(), filter.begin(),
                 [&](double weight) { return static_cast<float>(weight / sum); });
  return filter;
}

float dot(const std::vector<float>& filter, const float* samples) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t k = 0; k < filter.size(); ++k) sum += filter[k] * samples[k];
  return sum;
}

/// The sound at the places n * down / up of its samples. Those of n, n + up, n + 2 up, ... lie
/// alike between two samples, so one filter gives them all.
std::vector<float> stretched(const std::vector<float>& samples, Ratio ratio) {
  const auto [up, down] = ratio;
  const int64_t count = (2 * std::ssize(samples) * up + down) / (2 * down);  // rounded
  const int64_t half = (kHalf * std::max(up, down) + up - 1) / up;
  std::vector<float> padded(static_cast<size_t>(half));  // with silence on both sides
  padded.insert(padded.end(), samples.begin(), samples.end());
  padded.resize(padded.size() + static_cast<size_t>(half) + 1);
  std::vector<float> out(static_cast<size_t>(count));
  for (int64_t first = 0; first < std::min(up, count); ++first) {
    const double fraction = static_cast<double>(first * down % up) / static_cast<double>(up);
    const std::vector<float> filter = make_filter(fraction, half);
    const float* from = padded.data() + first * down / up + 1;
    for (int64_t n = first; n < count; n += up, from += down) {
      out[static_cast<size_t>(n)] = dot(filter, from);
    }
  }
  return out;
}

}  // namespace

Audio resample(const Audio& audio, int64_t rate) {
  check(audio.rate > 0 && rate > 0, "audio: the rates to resample must be positive; got {} and {}",
        audio.rate, rate);
  if (rate == audio.rate) return audio;
  return {stretched(audio.samples, ratio_of(rate, audio.rate)), rate};
}

Audio change_speed(const Audio& audio, double factor) {
  check(factor > 0 && factor <= kMostRatio, "audio: the speed must lie in 1/{0} .. {0}; got {1}",
        kMostRatio, factor);
  const Ratio ratio = ratio_of(kSpeedSteps, std::llround(factor * kSpeedSteps));
  if (ratio.up == ratio.down) return audio;
  return {stretched(audio.samples, ratio), audio.rate};
}

}  // namespace minnow
