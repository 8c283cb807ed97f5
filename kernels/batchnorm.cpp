#include "kernels/batchnorm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/launch.h"
#include "kernels/lengths.h"

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

/// How many values of a channel count in example e, and in group j.
int64_t values_of(const BatchNormShape& s, int64_t e) {
  return live_tokens(s.lengths, e, s.inner);
}
int64_t values_of_group(const BatchNormShape& s, const Segments& groups, int64_t j) {
  int64_t count = 0;
  for (int64_t e = groups.bounds[j]; e < groups.bounds[j + 1]; ++e) count += values_of(s, e);
  return count;
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
  const int64_t channels = shape.channels;
  // Each plane's own moments, from which those of a group follow without cancellation.
  std::vector<T> means(static_cast<size_t>(shape.batch * channels)), squares(means.size());
  for_each_plane(shape,
                 [=, means = means.data(), squares = squares.data()](int64_t p, int64_t e, auto) {
                   const T* plane = x + p * shape.inner;
                   const int64_t count = values_of(shape, e);
                   T sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
                   for (int64_t k = 0; k < count; ++k) sum += plane[k];
                   const T m = sum / static_cast<T>(std::max<int64_t>(count, 1));
#pragma omp simd reduction(+ : square)
                   for (int64_t k = 0; k < count; ++k) square += (plane[k] - m) * (plane[k] - m);
                   means[p] = m;
                   squares[p] = square;
                 });
  for_each_statistic(shape, groups, [&](int64_t j, int64_t c) {
    const int64_t begin = groups.bounds[j], end = groups.bounds[j + 1];
    const auto count = static_cast<T>(std::max<int64_t>(values_of_group(shape, groups, j), 1));
    const auto weight = [&](int64_t e) { return static_cast<T>(values_of(shape, e)); };
    T m = 0, total = 0;
    for (int64_t e = begin; e < end; ++e) m += weight(e) / count * means[e * channels + c];
    for (int64_t e = begin; e < end; ++e) {
      const T apart = means[e * channels + c] - m;
      total += squares[e * channels + c] + weight(e) * apart * apart;
    }
    mean[j * channels + c] = m;
    var[j * channels + c] = total / count;
  });
}

template <class W>
void batchnorm_track(const BatchNormShape& shape, const Segments& groups, double momentum,
                     int64_t step_examples, const W* mean, const W* var, W* running_mean,
                     W* running_var) {
  for (int64_t j = 0; j < groups.groups; ++j) {
    const auto examples = static_cast<double>(groups.bounds[j + 1] - groups.bounds[j]);
    const auto count = static_cast<double>(values_of_group(shape, groups, j));
    if (count < 2) continue;
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
    const int64_t count = values_of(s, e);
#pragma omp simd
    for (int64_t k = 0; k < count; ++k) to[k] = (from[k] - m) * factor + offset;
    std::fill(to + count, to + s.inner, T(0));
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
    const int64_t count = values_of(s, e);
#pragma omp simd reduction(+ : sum, product)
    for (int64_t k = 0; k < count; ++k) {
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
    const auto count = static_cast<T>(std::max<int64_t>(values_of_group(s, groups, j), 1));
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
    const int64_t count = values_of(s, e);
#pragma omp simd
    for (int64_t k = 0; k < count; ++k) to[k] = factor * (gp[k] - g - (xp[k] - m) * slope);
    std::fill(to + count, to + s.inner, T(0));
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
