#include "data/log_mel.h"

#include <kissfft/kiss_fftr.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>
#include <numbers>
#include <utility>
#include <vector>

#include "engine/check.h"

namespace minnow {
namespace {

constexpr int64_t kMostFft = 1 << 16;
constexpr double kLowest = 20;  // Hz, where the first filter begins
constexpr float kFloor = std::numeric_limits<float>::epsilon();  // of an energy
constexpr double kLeastDeviation = 1e-5;  // below it a bin is constant up to rounding

struct Frames {
  int64_t window, hop;  // samples
};

/// Rounded down, but a product that misses its whole number by a rounding counts as it.
Frames frames_of(const LogMelOptions& options) {
  const auto samples_in = [&](double seconds) {
    return static_cast<int64_t>(seconds * static_cast<double>(options.rate) + 1e-6);
  };
  check(options.rate > 2 * kLowest, "log_mel: the rate must be above {} Hz; got {}", 2 * kLowest,
        options.rate);
  const Frames frames{samples_in(options.window), samples_in(options.hop)};
  check(frames.window >= 2 && frames.hop >= 1,
        "log_mel: the window must hold 2 samples and the hop 1; got {} and {} seconds at {} Hz",
        options.window, options.hop, options.rate);
  return frames;
}

double mel(double hertz) {
  return 1127 * std::log(1 + hertz / 700);
}

/// Weights of neighbouring points of the spectrum, from `begin` on.
struct Filter {
  int64_t begin = 0;
  std::vector<float> weights;
};

/// What all sounds with the same options share.
struct Tables {
  LogMelOptions options;
  std::vector<float> window;
  std::vector<Filter> filters;
};

/// Symmetric: it ends as it begins, at 0.
std::vector<float> hann(int64_t size) {
  std::vector<float> window;
  const double step = 2 * std::numbers::pi / static_cast<double>(size - 1);
  for (int64_t i = 0; i < size; ++i) {
    window.push_back(static_cast<float>(0.5 - 0.5 * std::cos(step * static_cast<double>(i))));
  }
  return window;
}

/// A triangle over [left, left + 2 step] mel, of height 1.
Filter triangle(double left, double step, const LogMelOptions& options) {
  Filter filter;
  for (int64_t k = 0; k < options.fft / 2; ++k) {
    const double m = mel(static_cast<double>(k * options.rate) / static_cast<double>(options.fft));
    const double weight = std::min(m - left, left + 2 * step - m) / step;
    if (weight <= 0) continue;
    if (filter.weights.empty()) filter.begin = k;
    filter.weights.push_back(static_cast<float>(weight));
  }
  return filter;
}

Tables make_tables(const LogMelOptions& options) {
  const int64_t window = frames_of(options).window;
  check(options.fft >= window && options.fft <= kMostFft && options.fft % 2 == 0,
        "log_mel: fft must be even, from the window's {} samples to {}; got {}", window, kMostFft,
        options.fft);
  check(options.bins >= 1, "log_mel: bins must be positive; got {}", options.bins);
  check(options.preemphasis >= 0 && options.preemphasis <= 1,
        "log_mel: preemphasis must lie in 0 .. 1; got {}", options.preemphasis);
  Tables tables{options, hann(window), {}};
  const double low = mel(kLowest), high = mel(static_cast<double>(options.rate) / 2);
  const double step = (high - low) / static_cast<double>(options.bins + 1);
  for (int64_t bin = 0; bin < options.bins; ++bin) {
    tables.filters.push_back(triangle(low + static_cast<double>(bin) * step, step, options));
    check(!tables.filters.back().weights.empty(),
          "log_mel: {} bins are too narrow for an fft of {} points at {} Hz: bin {} holds none",
          options.bins, options.fft, options.rate, bin);
  }
  return tables;
}

/// Made once for each set of options.
std::shared_ptr<const Tables> tables_for(const LogMelOptions& options) {
  static std::mutex mutex;
  static std::vector<std::shared_ptr<const Tables>> made;
  const std::lock_guard lock(mutex);
  for (const auto& tables : made) {
    if (tables->options == options) return tables;
  }
  made.push_back(std::make_shared<const Tables>(make_tables(options)));
  return made.back();
}

/// The power spectrum of one frame after another; one for each thread, as it holds work space.
class Spectrum {
 public:
  explicit Spectrum(const Tables& tables)
      : tables_(tables),
        plan_(kiss_fftr_alloc(static_cast<int>(tables.options.fft), 0, nullptr, nullptr),
              &free_plan),
        frame_(static_cast<size_t>(tables.options.fft)),
        transform_(frame_.size() / 2 + 1),
        power_(frame_.size() / 2) {
    check(plan_ != nullptr, "log_mel: no memory for an fft of {} points", tables.options.fft);
  }

  /// Without the highest frequency, which is in no filter.
  const std::vector<float>& of(const float* samples) {
    const float slope = static_cast<float>(tables_.options.preemphasis);
    const std::vector<float>& window = tables_.window;
    for (size_t i = 1; i < window.size(); ++i) {
      frame_[i] = (samples[i] - slope * samples[i - 1]) * window[i];
    }
    kiss_fftr(plan_.get(), frame_.data(), transform_.data());
    for (size_t k = 0; k < power_.size(); ++k) {
      power_[k] = transform_[k].r * transform_[k].r + transform_[k].i * transform_[k].i;
    }
    return power_;
  }

 private:
  static void free_plan(kiss_fftr_cfg plan) { kiss_fftr_free(plan); }

  const Tables& tables_;
  std::unique_ptr<kiss_fftr_state, void (*)(kiss_fftr_cfg)> plan_;
  std::vector<float> frame_;  // zeros behind the window, and where it is 0 itself, at its start
  std::vector<kiss_fft_cpx> transform_;
  std::vector<float> power_;
};

float energy(const Filter& filter, const std::vector<float>& power) {
  const float* from = power.data() + filter.begin;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < filter.weights.size(); ++i) sum += filter.weights[i] * from[i];
  return sum;
}

}  // namespace

int64_t log_mel_frames(int64_t samples, const LogMelOptions& options) {
  const auto [window, hop] = frames_of(options);
  return samples < window ? 0 : 1 + (samples - window) / hop;
}

Tensor log_mel(std::span<const float> samples, const LogMelOptions& options) {
  const std::shared_ptr<const Tables> tables = tables_for(options);
  const int64_t T = log_mel_frames(std::ssize(samples), options);
  check(T > 0, "log_mel: the sound must be as long as a window, {} samples; got {}",
        tables->window.size(), samples.size());
  const int64_t hop = frames_of(options).hop;
  Tensor features = Tensor::empty({T, options.bins});
  float* out = features.data<float>();
  Spectrum spectrum(*tables);
  for (int64_t t = 0; t < T; ++t) {
    const std::vector<float>& power = spectrum.of(samples.data() + t * hop);
    for (const Filter& filter : tables->filters) {
      *out++ = std::log(std::max(energy(filter, power), kFloor));
    }
  }
  return features;
}

void normalise_bins(const Tensor& features) {
  check(features.rank() == 2 && features.dtype() == DType::float32,
        "normalise_bins: features must be [T, bins] float32; got {} {}",
        to_string(features.shape()), to_string(features.dtype()));
  const size_t T = static_cast<size_t>(features.dim(0)),
               bins = static_cast<size_t>(features.dim(1));
  std::vector<double> mean(bins), scale(bins);
  const auto for_each_value = [&](auto&& f) {
    float* value = features.data<float>();
    for (size_t t = 0; t < T; ++t) {
      for (size_t b = 0; b < bins; ++b) f(*value++, b);
    }
  };
  for_each_value([&](float value, size_t b) { mean[b] += value; });
  for (double& m : mean) m /= static_cast<double>(T);
  for_each_value([&](float value, size_t b) { scale[b] += (value - mean[b]) * (value - mean[b]); });
  for (double& s : scale) {
    s = 1 / std::max(std::sqrt(s / static_cast<double>(T)), kLeastDeviation);
  }
  for_each_value(
      [&](float& value, size_t b) { value = static_cast<float>((value - mean[b]) * scale[b]); });
}

}  // namespace minnow
