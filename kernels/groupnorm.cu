#include <cmath>

#include "kernels/device.h"
#include "kernels/groupnorm.h"

namespace minnow::cuda {
namespace {

/// Sizes as one block sees them: it has a group, `channels` x `inner` = `size` elements.
struct GroupSizes {
  int64_t groups, channels, inner, size;
};

GroupSizes sizes_of(const GroupNormShape& s) {
  const int64_t channels = s.channels / s.groups;
  return {s.groups, channels, s.inner, channels * s.inner};
}

/// Threads of a block: a warp for each channel of the group, since the backward pass sums up
/// channels, but not many more than there are runs of n elements.
int threads_for(const GroupSizes& s, int n) {
  const int64_t useful = std::min(s.channels, ceil_div(s.size, int64_t{n} * warp_lanes));
  return warp_lanes * static_cast<int>(std::clamp<int64_t>(useful, 1, 16));
}

/// Calls f(i, c) for this thread's share of a group, runs of n that do not cross channels; c is the
/// channel of element i. The thread steps through the channels as i does, which spares a division
/// an element.
template <int n, class F>
__device__ void each_of_group(const GroupSizes& s, F f) {
  const int64_t begin = int64_t{threadIdx.x} * n, step = int64_t{blockDim.x} * n;
  int64_t c = begin / s.inner, k = begin % s.inner;
  const int64_t step_c = step / s.inner, step_k = step % s.inner;
  for (int64_t i = begin; i < s.size; i += step) {
    f(i, c);
    c += step_c;
    k += step_k;
    if (k >= s.inner) {
      k -= s.inner;
      ++c;
    }
  }
}

/// Moves (2 sizeof(T)) bytes an element and does 7 flops on it: bound by memory. A block has a
/// group, so that its moments need no other memory; x is read from the device once and twice again
/// from the caches, which spares the cancellation of E[x^2] - E[x]^2.
template <class T, int n>
__global__ void groupnorm_forward_kernel(GroupSizes sizes, Wide<T> eps, const T* x,
                                         const Wide<T>* weight, const Wide<T>* bias, T* y,
                                         Wide<T>* mean, Wide<T>* rstd) {
  using W = Wide<T>;
  const int64_t group = blockIdx.x, first = group % sizes.groups * sizes.channels;
  const int64_t begin = int64_t{threadIdx.x} * n, step = int64_t{blockDim.x} * n;
  const T* xg = x + group * sizes.size;
  T* yg = y + group * sizes.size;
  W sum = 0, squares = 0;
  for (int64_t i = begin; i < sizes.size; i += step) {
    const Run<W, n> in = load_wide<n>(xg + i);
    for (int k = 0; k < n; ++k) sum += in.v[k];
  }
  const W m = block_sum(sum) / static_cast<W>(sizes.size);
  for (int64_t i = begin; i < sizes.size; i += step) {
    const Run<W, n> in = load_wide<n>(xg + i);
    for (int k = 0; k < n; ++k) squares += (in.v[k] - m) * (in.v[k] - m);
  }
  const W s = W(1) / std::sqrt(block_sum(squares) / static_cast<W>(sizes.size) + eps);
  if (threadIdx.x == 0) {
    mean[group] = m;
    rstd[group] = s;
  }
  if (sizes.size == 0) return;
  each_of_group<n>(sizes, [&](int64_t i, int64_t c) {
    const W factor = weight == nullptr ? s : s * weight[first + c];
    const W offset = bias == nullptr ? W(0) : bias[first + c];
    Run<W, n> out = load_wide<n>(xg + i);
    for (int k = 0; k < n; ++k) out.v[k] = (out.v[k] - m) * factor + offset;
    store_narrow<n>(yg + i, out);
  });
}

/// Moves (3 sizeof(T)) bytes an element and does 14 flops on it: bound by memory. A block has a
/// group and a warp of it a channel at a time, whose sums of gy and of gy n are the gradients of
/// bias and weight and, times the channel's weight, parts of the group's sums. With h = gy weight
/// and n = (x - mean) rstd: gx = rstd (h - mean(h) - n mean(h n)).
template <class T, int n>
__global__ void groupnorm_backward_kernel(GroupSizes sizes, const T* x, const Wide<T>* weight,
                                          const Wide<T>* mean, const Wide<T>* rstd, const T* gy,
                                          T* gx, Wide<T>* gweight, Wide<T>* gbias) {
  using W = Wide<T>;
  const int64_t group = blockIdx.x, at = group * sizes.size;
  const int warp = threadIdx.x / warp_lanes, lane = threadIdx.x % warp_lanes;
  const W* w = weight == nullptr ? nullptr : weight + group % sizes.groups * sizes.channels;
  const W m = mean[group], s = rstd[group];
  W sum_h = 0, sum_hn = 0;  // lane 0 of a warp has those of the warp's channels
  for (int64_t c = warp; c < sizes.channels; c += blockDim.x / warp_lanes) {
    W sum = 0, product = 0;
    for (int64_t i = lane * n; i < sizes.inner; i += warp_lanes * n) {
      const Run<W, n> in = load_wide<n>(x + at + c * sizes.inner + i);
      const Run<W, n> g = load_wide<n>(gy + at + c * sizes.inner + i);
      for (int k = 0; k < n; ++k) {
        sum += g.v[k];
        product += g.v[k] * ((in.v[k] - m) * s);
      }
    }
    sum = warp_sum(sum);
    product = warp_sum(product);
    if (lane == 0) {
      gbias[group * sizes.channels + c] = sum;
      gweight[group * sizes.channels + c] = product;
      sum_h += w == nullptr ? sum : w[c] * sum;
      sum_hn += w == nullptr ? product : w[c] * product;
    }
  }
  const W mean_h = block_sum(sum_h) / static_cast<W>(sizes.size);
  const W mean_hn = block_sum(sum_hn) / static_cast<W>(sizes.size);
  if (sizes.size == 0) return;
  each_of_group<n>(sizes, [&](int64_t i, int64_t c) {
    const W wc = w == nullptr ? W(1) : w[c];
    const Run<W, n> in = load_wide<n>(x + at + i);
    Run<W, n> g = load_wide<n>(gy + at + i);
    for (int k = 0; k < n; ++k) {
      g.v[k] = s * (g.v[k] * wc - mean_h - (in.v[k] - m) * s * mean_hn);
    }
    store_narrow<n>(gx + at + i, g);
  });
}

}  // namespace

template <class T>
void groupnorm_forward(const GroupNormShape& shape, Wide<T> eps, const T* x, const Wide<T>* weight,
                       const Wide<T>* bias, T* y, Wide<T>* mean, Wide<T>* rstd) {
  const GroupSizes sizes = sizes_of(shape);
  const auto grid = static_cast<unsigned>(shape.batch * shape.groups);
  const auto start = [=](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(grid, threads_for(sizes, n), 0, groupnorm_forward_kernel<T, n>, sizes, eps, x,
                  weight, bias, y, mean, rstd);
  };
  with_runs<Pack<T>::size>(shape.inner, start, x, y);
}

template <class T>
void groupnorm_backward(const GroupNormShape& shape, const T* x, const Wide<T>* weight,
                        const Wide<T>* mean, const Wide<T>* rstd, const T* gy, T* gx,
                        Wide<T>* gweight, Wide<T>* gbias) {
  const GroupSizes sizes = sizes_of(shape);
  const auto grid = static_cast<unsigned>(shape.batch * shape.groups);
  const auto start = [=](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(grid, threads_for(sizes, n), 0, groupnorm_backward_kernel<T, n>, sizes, x, weight,
                  mean, rstd, gy, gx, gweight, gbias);
  };
  with_runs<Pack<T>::size>(shape.inner, start, x, gy, gx);
}

#define MINNOW_INSTANTIATE(T)                                                                  \
  template void groupnorm_forward<T>(const GroupNormShape&, Wide<T>, const T*, const Wide<T>*, \
                                     const Wide<T>*, T*, Wide<T>*, Wide<T>*);                  \
  template void groupnorm_backward<T>(const GroupNormShape&, const T*, const Wide<T>*,         \
                                      const Wide<T>*, const Wide<T>*, const T*, T*, Wide<T>*,  \
                                      Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
