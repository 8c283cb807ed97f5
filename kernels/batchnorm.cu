#include <cmath>

#include "kernels/batchnorm.h"
#include "kernels/device.h"
#include "kernels/lengths.h"

namespace minnow::cuda {
namespace {

/// x as planes [B C, inner], one a team, and the groups that its examples belong to.
struct Planes {
  int64_t count, channels, inner, groups;
  const int64_t* bounds;
  const int64_t* lengths;

  /// Where the statistics of a plane stand in [K, C].
  __device__ int64_t statistic(int64_t plane) const {
    return segment_of(plane / channels, groups, bounds) * channels + plane % channels;
  }
  /// How many values of a channel count in an example, in a plane of one, and in a group.
  __device__ int64_t values(int64_t example) const { return live_tokens(lengths, example, inner); }
  __device__ int64_t plane_values(int64_t plane) const { return values(plane / channels); }
  __device__ int64_t group_values(int64_t group) const {
    int64_t sum = 0;
    for (int64_t e = bounds[group]; e < bounds[group + 1]; ++e) sum += values(e);
    return sum;
  }
};

Planes planes_of(const BatchNormShape& s, const Segments& groups) {
  return {s.batch * s.channels, s.channels,           s.inner,
          groups.groups,        groups.device_bounds, s.lengths};
}

/// Reads sizeof(T) bytes an element from memory and, for the second pass, from the caches; 4 flops.
template <class T, int n, int team>
__global__ void plane_moments_kernel(Planes planes, const T* x, Wide<T>* mean, Wide<T>* squares) {
  using W = Wide<T>;
  for (int64_t p = team_first<team>(); p < planes.count; p += team_step<team>()) {
    const T* plane = x + p * planes.inner;
    const int64_t count = planes.plane_values(p);
    W sum = 0, square = 0;
    each_run<n, team>(count, [&](int64_t i) {
      const Run<W, n> in = load_wide<n>(plane + i);
      for (int k = 0; k < n; ++k) sum += i + k < count ? in.v[k] : W(0);
    });
    const W m = team_sum<team>(sum) / static_cast<W>(count > 0 ? count : 1);
    each_run<n, team>(count, [&](int64_t i) {
      const Run<W, n> in = load_wide<n>(plane + i);
      for (int k = 0; k < n; ++k) square += i + k < count ? (in.v[k] - m) * (in.v[k] - m) : W(0);
    });
    square = team_sum<team>(square);
    if (threadIdx.x % team == 0) {
      mean[p] = m;
      squares[p] = square;
    }
  }
}

/// The moments of each group from those of its planes; a thread has one statistic.
template <class W>
__global__ void group_moments_kernel(Planes planes, const W* means, const W* squares, W* mean,
                                     W* var) {
  const int64_t channels = planes.channels;
  for (int64_t i = grid_thread(); i < planes.groups * channels; i += grid_threads()) {
    const int64_t c = i % channels;
    const int64_t begin = planes.bounds[i / channels], end = planes.bounds[i / channels + 1];
    const int64_t values = planes.group_values(i / channels);
    const auto count = static_cast<W>(values > 0 ? values : 1);
    W m = 0, total = 0;
    for (int64_t e = begin; e < end; ++e) {
      m += static_cast<W>(planes.values(e)) / count * means[e * channels + c];
    }
    for (int64_t e = begin; e < end; ++e) {
      const W apart = means[e * channels + c] - m;
      total += squares[e * channels + c] + static_cast<W>(planes.values(e)) * apart * apart;
    }
    mean[i] = m;
    var[i] = total / count;
  }
}

/// A thread has one channel and walks over the groups in their order.
template <class W>
__global__ void track_kernel(Planes planes, double momentum, double step_examples, const W* mean,
                             const W* var, W* running_mean, W* running_var) {
  for (int64_t c = grid_thread(); c < planes.channels; c += grid_threads()) {
    for (int64_t j = 0; j < planes.groups; ++j) {
      const int64_t i = j * planes.channels + c;
      const auto examples = static_cast<double>(planes.bounds[j + 1] - planes.bounds[j]);
      const auto count = static_cast<double>(planes.group_values(j));
      if (count < 2 || !std::isfinite(mean[i]) || !std::isfinite(var[i])) continue;
      const double keep = std::pow(1 - momentum, examples / step_examples);
      const double unbiased = static_cast<double>(var[i]) * count / (count - 1);
      running_mean[c] = static_cast<W>(keep * running_mean[c] + (1 - keep) * mean[i]);
      running_var[c] = static_cast<W>(keep * running_var[c] + (1 - keep) * unbiased);
    }
  }
}

/// Moves (2 sizeof(T)) bytes an element and does 2 flops on it: bound by memory.
template <class T, int n, int team>
__global__ void batchnorm_forward_kernel(Planes planes, Wide<T> eps, const T* x,
                                         const Wide<T>* mean, const Wide<T>* var,
                                         const Wide<T>* weight, const Wide<T>* bias, T* y) {
  using W = Wide<T>;
  for (int64_t p = team_first<team>(); p < planes.count; p += team_step<team>()) {
    const int64_t i = planes.statistic(p), c = p % planes.channels, at = p * planes.inner;
    const W m = mean[i], factor = weight[c] / std::sqrt(var[i] + eps), offset = bias[c];
    const int64_t count = planes.plane_values(p);
    each_run<n, team>(planes.inner, [&](int64_t k) {
      Run<W, n> out = load_wide<n>(x + at + k);
      for (int q = 0; q < n; ++q) {
        out.v[q] = k + q < count ? (out.v[q] - m) * factor + offset : W(0);
      }
      store_narrow<n>(y + at + k, out);
    });
  }
}

/// The sums of gy and of gy (x - mean) rstd over each plane: reads 2 sizeof(T) bytes an element.
template <class T, int n, int team>
__global__ void plane_sums_kernel(Planes planes, Wide<T> eps, const T* x, const Wide<T>* mean,
                                  const Wide<T>* var, const T* gy, Wide<T>* gweight,
                                  Wide<T>* gbias) {
  using W = Wide<T>;
  for (int64_t p = team_first<team>(); p < planes.count; p += team_step<team>()) {
    const int64_t i = planes.statistic(p), at = p * planes.inner;
    const W m = mean[i], rstd = W(1) / std::sqrt(var[i] + eps);
    W sum = 0, product = 0;
    const int64_t count = planes.plane_values(p);
    each_run<n, team>(count, [&](int64_t k) {
      const Run<W, n> in = load_wide<n>(x + at + k), g = load_wide<n>(gy + at + k);
      for (int q = 0; q < n && k + q < count; ++q) {
        sum += g.v[q];
        product += g.v[q] * (in.v[q] - m);
      }
    });
    sum = team_sum<team>(sum);
    product = team_sum<team>(product);
    if (threadIdx.x % team == 0) {
      gbias[p] = sum;
      gweight[p] = product * rstd;
    }
  }
}

/// Means over each group of what plane_sums_kernel has summed; a thread has one statistic.
template <class W>
__global__ void group_means_kernel(Planes planes, const W* gweight, const W* gbias, W* mean_g,
                                   W* mean_gn) {
  const int64_t channels = planes.channels;
  for (int64_t i = grid_thread(); i < planes.groups * channels; i += grid_threads()) {
    const int64_t begin = planes.bounds[i / channels], end = planes.bounds[i / channels + 1];
    W sum = 0, product = 0;
    for (int64_t e = begin; e < end; ++e) {
      sum += gbias[e * channels + i % channels];
      product += gweight[e * channels + i % channels];
    }
    const int64_t values = planes.group_values(i / channels);
    const auto count = static_cast<W>(values > 0 ? values : 1);
    mean_g[i] = sum / count;
    mean_gn[i] = product / count;
  }
}

/// Moves (3 sizeof(T)) bytes an element and does 6 flops on it: bound by memory. mean_g is null
/// where the statistics do not depend on x.
template <class T, int n, int team>
__global__ void batchnorm_backward_kernel(Planes planes, Wide<T> eps, const T* x,
                                          const Wide<T>* mean, const Wide<T>* var,
                                          const Wide<T>* weight, const Wide<T>* mean_g,
                                          const Wide<T>* mean_gn, const T* gy, T* gx) {
  using W = Wide<T>;
  for (int64_t p = team_first<team>(); p < planes.count; p += team_step<team>()) {
    const int64_t i = planes.statistic(p), at = p * planes.inner;
    const W m = mean[i], rstd = W(1) / std::sqrt(var[i] + eps);
    const W factor = weight[p % planes.channels] * rstd;
    const W g = mean_g == nullptr ? W(0) : mean_g[i];
    const W slope = mean_g == nullptr ? W(0) : mean_gn[i] * rstd;
    const int64_t count = planes.plane_values(p);
    each_run<n, team>(planes.inner, [&](int64_t k) {
      const Run<W, n> in = load_wide<n>(x + at + k);
      Run<W, n> out = load_wide<n>(gy + at + k);
      for (int q = 0; q < n; ++q) {
        out.v[q] = k + q < count ? factor * (out.v[q] - g - (in.v[q] - m) * slope) : W(0);
      }
      store_narrow<n>(gx + at + k, out);
    });
  }
}

}  // namespace

template <class T>
void batchnorm_moments(const BatchNormShape& shape, const Segments& groups, const T* x,
                       Wide<T>* mean, Wide<T>* var) {
  const Planes planes = planes_of(shape, groups);
  const Scratch scratch(2 * planes.count * int64_t{sizeof(Wide<T>)});
  auto* const means = scratch.as<Wide<T>>();
  Wide<T>* const squares = means + planes.count;
  const auto start = [=](auto run, auto team, unsigned grid) {
    constexpr int n = run, lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, plane_moments_kernel<T, n, lanes>, planes, x, means,
                  squares);
  };
  with_teams<T>(planes.count, planes.inner, start, x);
  MINNOW_LAUNCH(grid_for(planes.groups * planes.channels), block_threads, 0,
                group_moments_kernel<Wide<T>>, planes, means, squares, mean, var);
}

template <class W>
void batchnorm_track(const BatchNormShape& shape, const Segments& groups, double momentum,
                     int64_t step_examples, const W* mean, const W* var, W* running_mean,
                     W* running_var) {
  MINNOW_LAUNCH(grid_for(shape.channels), block_threads, 0, track_kernel<W>,
                planes_of(shape, groups), momentum, static_cast<double>(step_examples), mean, var,
                running_mean, running_var);
}

template <class T>
void batchnorm_forward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps, const T* x,
                       const Wide<T>* mean, const Wide<T>* var, const Wide<T>* weight,
                       const Wide<T>* bias, T* y) {
  const Planes planes = planes_of(shape, groups);
  const auto start = [=](auto run, auto team, unsigned grid) {
    constexpr int n = run, lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, batchnorm_forward_kernel<T, n, lanes>, planes, eps, x,
                  mean, var, weight, bias, y);
  };
  with_teams<T>(planes.count, planes.inner, start, x, y);
}

template <class T>
void batchnorm_backward(const BatchNormShape& shape, const Segments& groups, Wide<T> eps,
                        bool fixed, const T* x, const Wide<T>* mean, const Wide<T>* var,
                        const Wide<T>* weight, const T* gy, T* gx, Wide<T>* gweight,
                        Wide<T>* gbias) {
  const Planes planes = planes_of(shape, groups);
  const auto sums = [=](auto run, auto team, unsigned grid) {
    constexpr int n = run, lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, plane_sums_kernel<T, n, lanes>, planes, eps, x, mean, var,
                  gy, gweight, gbias);
  };
  with_teams<T>(planes.count, planes.inner, sums, x, gy);
  const int64_t statistics = planes.groups * planes.channels;
  const Scratch scratch(fixed ? 0 : 2 * statistics * int64_t{sizeof(Wide<T>)});
  Wide<T>* const mean_g = fixed ? nullptr : scratch.as<Wide<T>>();
  Wide<T>* const mean_gn = fixed ? nullptr : mean_g + statistics;
  if (!fixed) {
    MINNOW_LAUNCH(grid_for(statistics), block_threads, 0, group_means_kernel<Wide<T>>, planes,
                  gweight, gbias, mean_g, mean_gn);
  }
  const auto start = [=](auto run, auto team, unsigned grid) {
    constexpr int n = run, lanes = team;
    MINNOW_LAUNCH(grid, block_threads, 0, batchnorm_backward_kernel<T, n, lanes>, planes, eps, x,
                  mean, var, weight, mean_g, mean_gn, gy, gx);
  };
  with_teams<T>(planes.count, planes.inner, start, x, gy, gx);
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void batchnorm_moments<T>(const BatchNormShape&, const Segments&, const T*, Wide<T>*, \
                                     Wide<T>*);                                                  \
  template void batchnorm_forward<T>(const BatchNormShape&, const Segments&, Wide<T>, const T*,  \
                                     const Wide<T>*, const Wide<T>*, const Wide<T>*,             \
                                     const Wide<T>*, T*);                                        \
  template void batchnorm_backward<T>(const BatchNormShape&, const Segments&, Wide<T>, bool,     \
                                      const T*, const Wide<T>*, const Wide<T>*, const Wide<T>*,  \
                                      const T*, T*, Wide<T>*, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE
template void batchnorm_track<float>(const BatchNormShape&, const Segments&, double, int64_t,
                                     const float*, const float*, float*, float*);
template void batchnorm_track<double>(const BatchNormShape&, const Segments&, double, int64_t,
                                      const double*, const double*, double*, double*);

}  // namespace minnow::cuda
