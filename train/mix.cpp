#include "train/mix.h"

#include <algorithm>
#include <cmath>

#include "kernels/random.h"

namespace minnow {
namespace {

/// Gamma(shape, 1). Source: Marsaglia and Tsang, "A simple method for generating gamma variables",
/// 2000.
double draw_gamma(double shape, RandomSequence& random) {
  if (shape < 1) return draw_gamma(shape + 1, random) * std::pow(random.uniform(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.normal(), root = 1 + c * x, v = root * root * root;
    if (v <= 0) continue;
    if (std::log(1 - random.uniform()) < 0.5 * x * x + d * (1 - v + std::log(v))) return d * v;
  }
}

/// Beta(alpha, alpha).
double draw_beta(double alpha, RandomSequence& random) {
  const double x = draw_gamma(alpha, random), y = draw_gamma(alpha, random);
  // Both underflow where alpha is so small that one of them all but surely is the whole sum.
  return x + y > 0 ? x / (x + y) : static_cast<double>(random.below(2));
}

/// A run of examples of a batch.
struct Run {
  float* pixels;  // [n, C, H, W]
  int64_t n, C, H, W;

  float* example(int64_t i) const { return pixels + i * C * H * W; }
};

void mix_up(const Run& run, double lambda) {
  const auto own = static_cast<float>(lambda), other = static_cast<float>(1 - lambda);
  for (int64_t i = 0; i < run.n / 2; ++i) {
    float *a = run.example(i), *b = run.example(run.n - 1 - i);
    for (int64_t k = 0; k < run.C * run.H * run.W; ++k) {
      const float x = a[k], y = b[k];
      a[k] = own * x + other * y;
      b[k] = own * y + other * x;
    }
  }
}

/// The part of [0, extent) that a box of that size about a random middle takes.
std::pair<int64_t, int64_t> draw_side(int64_t extent, double size, RandomSequence& random) {
  const int64_t half = static_cast<int64_t>(static_cast<double>(extent) * size) / 2;
  const int64_t middle = random.below(extent);
  return {std::max<int64_t>(middle - half, 0), std::min(middle + half, extent)};
}

/// Returns what it makes of lambda: the share that stays, in whole pixels.
double cut_mix(const Run& run, double lambda, RandomSequence& random) {
  const double size = std::sqrt(1 - lambda);
  const auto [top, bottom] = draw_side(run.H, size, random);
  const auto [left, right] = draw_side(run.W, size, random);
  for (int64_t i = 0; i < run.n / 2; ++i) {
    float *a = run.example(i), *b = run.example(run.n - 1 - i);
    for (int64_t c = 0; c < run.C; ++c) {
      for (int64_t y = top; y < bottom; ++y) {
        const int64_t row = (c * run.H + y) * run.W;
        std::swap_ranges(a + row + left, a + row + right, b + row + left);
      }
    }
  }
  const auto area = static_cast<double>((bottom - top) * (right - left));
  return 1 - area / static_cast<double>(run.H * run.W);
}

/// Returns lambda; 1 where the run stays as it is.
double mix_run(const Run& run, const MixOptions& options, RandomSequence& random) {
  if (!(random.uniform() < options.chance)) return 1;
  const bool both = options.mixup > 0 && options.cutmix > 0;
  const bool cut = both ? random.uniform() < options.cutmix_chance : options.cutmix > 0;
  const double lambda = draw_beta(cut ? options.cutmix : options.mixup, random);
  if (cut) return cut_mix(run, lambda, random);
  mix_up(run, lambda);
  return lambda;
}

}  // namespace

void mix_batch(Batch& batch, const MixOptions& options, int64_t epoch) {
  const Tensor& inputs = batch.inputs;
  check(inputs.rank() == 4 && inputs.dtype() == DType::float32,
        "mix: pictures must be float32 [B, C, H, W]; got {} {}", to_string(inputs.dtype()),
        to_string(inputs.shape()));
  check(options.run > 0, "mix: a run must have examples; got {}", options.run);
  const int64_t B = batch.size(), classes = options.classes;
  const int64_t C = inputs.dim(1), H = inputs.dim(2), W = inputs.dim(3);
  const int64_t* labels = batch.labels.data<int64_t>();
  for (int64_t i = 0; i < B; ++i) {
    check(labels[i] >= 0 && labels[i] < classes, "mix: labels must lie in [0, {}); got {}", classes,
          labels[i]);
  }
  Tensor targets = Tensor::zeros({B, classes}, DType::float32);
  for (int64_t begin = 0; begin < B; begin += options.run) {
    const int64_t n = std::min(options.run, B - begin);
    RandomSequence random({options.seed, stream::mix, static_cast<uint64_t>(epoch),
                           static_cast<uint64_t>(batch.ids.data<int64_t>()[begin])});
    const Run run{batch.inputs.data<float>() + begin * C * H * W, n, C, H, W};
    const double lambda = mix_run(run, options, random);
    for (int64_t i = 0; i < n; ++i) {
      float* target = targets.data<float>() + (begin + i) * classes;
      target[labels[begin + i]] += static_cast<float>(lambda);
      target[labels[begin + n - 1 - i]] += static_cast<float>(1 - lambda);
    }
  }
  batch.labels = std::move(targets);
}

std::function<void(Batch&, int64_t)> batch_mixer(const Config& config, int64_t classes) {
  if (!config.mixes()) return {};
  const MixOptions options{.mixup = config.train.mixup,
                           .cutmix = config.train.cutmix,
                           .chance = config.train.mix_prob,
                           .cutmix_chance = config.train.mix_switch,
                           .run = config.partners(),
                           .classes = classes,
                           .seed = config.seed};
  return [options](Batch& batch, int64_t epoch) { mix_batch(batch, options, epoch); };
}

}  // namespace minnow
