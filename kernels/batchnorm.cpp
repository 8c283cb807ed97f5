#include "kernels/batchnorm.h"

#include <cmath>
#include <vector>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Calls f(plane, example, channel) for every plane of x, over all cores.
template <class F>
void for_each_plane(const BatchNormShape& s, F f) {
  const int64_t channels = s.channels;
  parallel_for(s.batch * channels, element_grain / (s.inner + 1) + 1,
               [=](int64_t begin, int64_t end) {
                 for (int64_t p = begin; p < end; ++p) f(p, p / channels, p % channels);
               });
}

/// The group of each example.
std::vector<int64_t> group_of_examples(const BatchNormShape& s, const Segments& groups) {
  std::vector<int64_t> of(static_cast<size_t>(s.batch));
  for (int64_t j = 0; j < groups.groups; ++j) {
    for (int64_t e = groups.bounds[j]; e < groups.bounds[j + 1]; ++e) of[e] = j;
  }
  return of;
}

/// f(j, c) for every group and channel.
template <class F>
void for_each_statistic(const BatchNormShape& s, const Segments& groups, F f) {
  for (int64_t j = 0; j < groups.groups; ++j) {
    for (int64_t c = 0; c < s.channels; ++c) f(j, c);
  }
}

}  // namespace

template <class T>
void batchnorm_moments(const BatchNormShape& shape, const Segments& groups, const T* x,
                       Wide<T>* mean, Wide<T>* var) {
  const int64_t inner = shape.inner, channels = shape.channels;
  // Each plane's own moments, from which those of a group follow without cancellation.
  std::vector<T> means(static_cast<size_t>(shape.batch * channels)), squares(means.size());
  for_each_plane(shape, [=, means = means.data(), squares = squares.data()](int64_t p, auto, auto) {
    const T* plane = x + p * inner;
    T sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < inner; ++k) sum += plane[k];
    const T m = sum / static_cast<T>(inner);
#pragma omp simd reduction(+ : square)
    for (int64_t k = 0; k < inner; ++k) square += (plane[k] - m) * (plane[k] - m);
    means[p] = m;
    squares[p] = square;
  });
  for_each_statistic(shape, groups, [&](int64_t j, int64_t c) {
    const int64_t begin = groups.bounds[j], end = groups.bounds[j + 1];
    const auto examples = static_cast<T>(std::max<int64_t>(end - begin, 1));
    T m = 0, total = 0;
    for (int64_t e = begin; e < end; ++e) m += means[e * channels + c];
    m /= examples;
    for (int64_t e = begin; e < end; ++e) {
      const T apart = means[e * channels + c] - m;
      total += squares[e * channels + c] + static_cast<T>(inner) * apart * apart;
    }
    mean[j * channels + c] = m;
    var[j * channels + c] = total / (examples * static_cast<T>(inner));
  });
}

template <class W>
void batchnorm_track(const BatchNormShape& shape, const Segments& groups, double momentum,
                     int64_t step_examples, const W* mean, const W* var, W* running_mean,
                     W* running_var) {
  for (int64_t j = 0; j < groups.groups; ++j) {
    const auto examples = static_cast<double>(groups.bounds[j + 1] - groups.bounds[j]);
    if (examples == 0) continue;
    const double count = examples * static_cast<double>(shape.inner);
    const double keep = std::pow(1 - momentum, examples / static_cast<double>(step_examples));
    for (int64_t c = 0; c < shape.channels; ++c) {
      const int64_t i = j * shape.channels + c;
      if (!std::isfinite(mean[i]) || !std::isfinite(var[i])) continue;
      const double unbiased = static_cast<double>(var[i]) * count / (count - 1);
      running_mean[c] = static_cast<W>(keep * running_mean[c] + (1 - keep) * mean[i]);
      running_var[c] = static_cast<W>(keep * running_var[c] + (1 - keep) * unbiased);
    }
  }
}

template <class T>
void batchnorm_forward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps, const T* x,
                       const Wide<T>* mean, const Wide<T>* var, const Wide<T>* weight,
                       const Wide<T>* bias, T* y) {
  const std::vector<int64_t> group = group_of_examples(shape, groups);
  for_each_plane(shape, [=, of = group.data(), s = shape](int64_t p, int64_t e, int64_t c) {
    const int64_t i = of[e] * s.channels + c;
    const T m = mean[i], factor = weight[c] / std::sqrt(var[i] + eps), offset = bias[c];
    const T* from = x + p * s.inner;
    T* to = y + p * s.inner;
#pragma omp simd
    for (int64_t k = 0; k < s.inner; ++k) to[k] = (from[k] - m) * factor + offset;
  });
}

template <class T>
void batchnorm_backward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps,
                        bool fixed, const T* x, const Wide<T>* mean, const Wide<T>* var,
                        const Wide<T>* weight, const T* gy, T* gx, Wide<T>* gweight,
                        Wide<T>* gbias) {
  const std::vector<int64_t> group = group_of_examples(shape, groups);
  const BatchNormShape s = shape;
  for_each_plane(s, [=, of = group.data()](int64_t p, int64_t e, int64_t c) {
    const int64_t i = of[e] * s.channels + c;
    const T m = mean[i], rstd = T(1) / std::sqrt(var[i] + eps);
    const T *xp = x + p * s.inner, *gp = gy + p * s.inner;
    T sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t k = 0; k < s.inner; ++k) {
      sum += gp[k];
      product += gp[k] * (xp[k] - m);
    }
    gbias[p] = sum;
    gweight[p] = product * rstd;
  });
  // With n = (x - mean) rstd: gx = weight rstd (gy - mean(gy) - n mean(gy n)), means over the
  // group.
  std::vector<T> mean_g(static_cast<size_t>(groups.groups * s.channels)), mean_gn(mean_g.size());
  for_each_statistic(s, groups, [&](int64_t j, int64_t c) {
    if (fixed) return;
    T sum = 0, product = 0;
    for (int64_t e = groups.bounds[j]; e < groups.bounds[j + 1]; ++e) {
      sum += gbias[e * s.channels + c];
      product += gweight[e * s.channels + c];
    }
    const auto count = static_cast<T>((groups.bounds[j + 1] - groups.bounds[j]) * s.inner);
    mean_g[j * s.channels + c] = sum / count;
    mean_gn[j * s.channels + c] = product / count;
  });
  for_each_plane(s, [=, of = group.data(), mean_g = mean_g.data(), mean_gn = mean_gn.data()](
                        int64_t p, int64_t e, int64_t c) {
    const int64_t i = of[e] * s.channels + c;
    const T m = mean[i], rstd = T(1) / std::sqrt(var[i] + eps);
    const T factor = weight[c] * rstd, g = mean_g[i], slope = mean_gn[i] * rstd;
    const T *xp = x + p * s.inner, *gp = gy + p * s.inner;
    T* to = gx + p * s.inner;
#pragma omp simd
    for (int64_t k = 0; k < s.inner; ++k) to[k] = factor * (gp[k] - g - (xp[k] - m) * slope);
  });
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void batchnorm_moments<T>(const BatchNormShape&, const Segments&, const T*, T*, T*);  \
  template void batchnorm_track<T>(const BatchNormShape&, const Segments&, double, int64_t,      \
                                   const T*, const T*, T*, T*);                                  \
  template void batchnorm_forward<T>(const BatchNormShape&, const Segments&, T, const T*,        \
                                     const T*, const T*, const T*, const T*, T*);                \
  template void batchnorm_backward<T>(const BatchNormShape&, const Segments&, T, bool, const T*, \
                                      const T*, const T*, const T*, const T*, T*, T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
