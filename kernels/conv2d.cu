#include "kernels/conv2d.h"
#include "kernels/conv_plane.h"
#include "kernels/cudnn_graph.h"
#include "kernels/device.h"
#include "kernels/gemm.h"

/// Depthwise convolutions in one pass each; the others by cuDNN, or, where it has no plan, as
/// products with the patches of x, gathered into scratch memory for as many examples at a time as
/// it takes (im2col).
namespace minnow::cuda {
namespace {

/// y of a depthwise convolution, a warp a plane of y: 2 taps flops an element of y; x and w are
/// read from memory once and then, tap by tap, from the caches; y is written once.
template <class T>
__global__ void depthwise_forward_kernel(ConvPlane plane, int64_t planes, int64_t filters,
                                         int64_t filters_each, const T* x, const T* w,
                                         const Wide<T>* bias, T* y) {
  const int out = plane.out_area(), taps = plane.taps();
  for (int64_t i = grid_warp(); i < planes; i += grid_warps()) {
    const int64_t f = i % filters;
    const T *xp = x + i / filters_each * plane.area(), *wf = w + f * taps;
    const Wide<T> start = bias == nullptr ? Wide<T>(0) : bias[f];
    for (int p = lane(); p < out; p += warp_lanes) {
      Wide<T> sum = start;
      for (int tap = 0; tap < taps; ++tap) {
        const int q = plane.read_by(p, tap);
        if (q >= 0) sum += widen(wf[tap]) * widen(xp[q]);
      }
      y[i * out + p] = narrow<T>(sum);
    }
  }
}

/// gx of a depthwise convolution, a warp a plane of gx, whose elements gather from the outputs that
/// read them, filter by filter and tap by tap: traffic and flops as forward.
template <class T>
__global__ void depthwise_backward_kernel(ConvPlane plane, int64_t planes, int64_t channels,
                                          int filters_each, const T* gy, const T* w, T* gx) {
  const int area = plane.area(), taps = plane.taps();
  for (int64_t i = grid_warp(); i < planes; i += grid_warps()) {
    const T* gyp = gy + i * filters_each * plane.out_area();
    const T* wc = w + i % channels * filters_each * taps;
    for (int q = lane(); q < area; q += warp_lanes) {
      Wide<T> sum = 0;
      for (int tap = 0; tap < taps; ++tap) {
        const int p = plane.reader_of(q, tap);
        for (int f = 0; f < filters_each && p >= 0; ++f) {
          sum += widen(wc[f * taps + tap]) * widen(gyp[int64_t{f} * plane.out_area() + p]);
        }
      }
      gx[i * area + q] = narrow<T>(sum);
    }
  }
}

/// columns [examples, channels * taps, out_area]: a warp a row, that is one tap of one channel.
/// `x` is the first example's first channel, `stride` the distance between examples. x is read from
/// memory once and then from the caches, the columns are written once.
template <class T>
__global__ void im2col_kernel(ConvPlane plane, int64_t examples, int64_t channels, int64_t stride,
                              const T* x, T* columns) {
  const int out = plane.out_area(), taps = plane.taps();
  const int64_t rows = channels * taps;
  for (int64_t i = grid_warp(); i < examples * rows; i += grid_warps()) {
    const int tap = static_cast<int>(i % taps);
    const T* from = x + i / rows * stride + i % rows / taps * plane.area();
    for (int p = lane(); p < out; p += warp_lanes) {
      const int q = plane.read_by(p, tap);
      columns[i * out + p] = q >= 0 ? from[q] : narrow<T>(0);
    }
  }
}

/// The transpose: each element of gx is the sum of its copies in `columns`, tap by tap. A warp a
/// plane of gx; the columns are read once, gx is written once.
template <class T>
__global__ void col2im_kernel(ConvPlane plane, int64_t examples, int64_t channels, int64_t stride,
                              const Wide<T>* columns, T* gx) {
  const int out = plane.out_area(), taps = plane.taps();
  for (int64_t i = grid_warp(); i < examples * channels; i += grid_warps()) {
    const Wide<T>* from = columns + i * taps * out;
    T* to = gx + i / channels * stride + i % channels * plane.area();
    for (int q = lane(); q < plane.area(); q += warp_lanes) {
      Wide<T> sum = 0;
      for (int tap = 0; tap < taps; ++tap) {
        const int p = plane.reader_of(q, tap);
        if (p >= 0) sum += from[int64_t{tap} * out + p];
      }
      to[q] = narrow<T>(sum);
    }
  }
}

/// y [planes, area] += bias of the plane's filter; a warp a plane, y read and written once.
template <int n, class T>
__global__ void add_bias_kernel(int64_t planes, int64_t filters, int64_t area, const Wide<T>* bias,
                                T* y) {
  for (int64_t i = grid_warp(); i < planes; i += grid_warps()) {
    const Wide<T> b = bias[i % filters];
    each_run<n, warp_lanes>(area, [=](int64_t p) {
      Run<Wide<T>, n> run = load_wide<n>(y + i * area + p);
      for (int k = 0; k < n; ++k) run.v[k] += b;
      store_narrow(y + i * area + p, run);
    });
  }
}

/// sums[i] = the sum of plane i of x [planes, area]; a warp a plane, x read once.
template <int n, class T>
__global__ void plane_sums_kernel(int64_t planes, int64_t area, const T* x, Wide<T>* sums) {
  for (int64_t i = grid_warp(); i < planes; i += grid_warps()) {
    Wide<T> sum = 0;
    each_run<n, warp_lanes>(area, [&](int64_t p) {
      const Run<Wide<T>, n> run = load_wide<n>(x + i * area + p);
      for (int k = 0; k < n; ++k) sum += run.v[k];
    });
    sum = warp_sum(sum);
    if (lane() == 0) sums[i] = sum;
  }
}

/// Calls f(convolution group, first example, examples) for all of them.
template <class F>
void for_each_chunk(const ConvShape& s, int64_t examples, F f) {
  for (int64_t g = 0; g < s.groups; ++g) {
    for (int64_t e = 0; e < s.batch; e += examples) f(g, e, std::min(examples, s.batch - e));
  }
}

/// Where a convolution group's arrays begin, and how far examples are apart.
struct GroupPlace {
  GroupPlace(const ConvShape& s, int64_t e, int64_t g)
      : channels(s.channels / s.groups),
        x_stride(s.channels * s.height * s.width),
        y_stride(s.filters * s.out_area()),
        x(e * x_stride + g * channels * s.height * s.width),
        y(e * y_stride + g * s.group_filters() * s.out_area()),
        w(g * s.group_filters() * s.taps()) {}
  int64_t channels, x_stride, y_stride, x, y, w;
};

/// y without the bias.
template <class T>
void multiply_forward(const ConvShape& s, const T* x, const T* w, T* y) {
  const int64_t out = s.out_area(), taps = s.taps(), filters = s.group_filters();
  const ConvPlane plane(s);
  const int64_t each = s.pointwise() ? 0 : taps * out * static_cast<int64_t>(sizeof(T));
  const int64_t most = std::min(s.batch, examples_at_a_time(each));
  const Scratch scratch(most * each);
  for_each_chunk(s, most, [&](int64_t g, int64_t e, int64_t examples) {
    const GroupPlace at(s, e, g);
    const T* columns = x + at.x;
    if (!s.pointwise()) {
      MINNOW_LAUNCH(warp_grid_for(examples * taps), block_threads, 0, im2col_kernel<T>, plane,
                    examples, at.channels, at.x_stride, x + at.x, scratch.as<T>());
      columns = scratch.as<T>();
    }
    gemm_batched(examples, Op::none, Op::none, filters, out, taps, Wide<T>(1), w + at.w, taps, 0,
                 columns, out, s.pointwise() ? at.x_stride : taps * out, Wide<T>(0), y + at.y, out,
                 at.y_stride);
  });
}

template <class T>
void multiply_backward(const ConvShape& s, const T* gy, const T* w, T* gx) {
  const int64_t out = s.out_area(), taps = s.taps(), filters = s.group_filters();
  const ConvPlane plane(s);
  // The columns are kept wide, so that bfloat16 is rounded only when they have been added up.
  const int64_t each = s.pointwise() ? 0 : taps * out * static_cast<int64_t>(sizeof(Wide<T>));
  const int64_t most = std::min(s.batch, examples_at_a_time(each));
  const Scratch scratch(most * each);
  for_each_chunk(s, most, [&](int64_t g, int64_t e, int64_t examples) {
    const GroupPlace at(s, e, g);
    const auto multiply = [&](auto* to, int64_t stride) {
      gemm_batched(examples, Op::transpose, Op::none, taps, out, filters, Wide<T>(1), w + at.w,
                   taps, 0, gy + at.y, out, at.y_stride, Wide<T>(0), to, out, stride);
    };
    if (s.pointwise()) return multiply(gx + at.x, at.x_stride);
    multiply(scratch.as<Wide<T>>(), taps * out);
    MINNOW_LAUNCH(warp_grid_for(examples * at.channels), block_threads, 0, col2im_kernel<T>, plane,
                  examples, at.channels, at.x_stride, scratch.as<Wide<T>>(), gx + at.x);
  });
}

}  // namespace

template <class T>
void conv2d_forward(const ConvShape& s, const T* x, const T* w, const Wide<T>* bias, T* y) {
  const int64_t planes = s.batch * s.filters;
  if (s.depthwise()) {
    MINNOW_LAUNCH(warp_grid_for(planes), block_threads, 0, depthwise_forward_kernel<T>,
                  ConvPlane(s), planes, s.filters, s.group_filters(), x, w, bias, y);
    return;
  }
  if (!cudnn_forward(s, x, w, y)) multiply_forward(s, x, w, y);
  if (bias == nullptr) return;
  const auto add_bias = [&](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(warp_grid_for(planes), block_threads, 0, add_bias_kernel<n, T>, planes, s.filters,
                  s.out_area(), bias, y);
  };
  with_runs<Pack<T>::size>(s.out_area(), add_bias, y);
}

template <class T>
void conv2d_backward(const ConvShape& s, const T* gy, const T* w, T* gx) {
  if (s.depthwise()) {
    const int64_t planes = s.batch * s.channels;
    MINNOW_LAUNCH(warp_grid_for(planes), block_threads, 0, depthwise_backward_kernel<T>,
                  ConvPlane(s), planes, s.channels, s.group_filters(), gy, w, gx);
    return;
  }
  if (!cudnn_backward(s, gy, w, gx)) multiply_backward(s, gy, w, gx);
}

template <class T>
void conv2d_bias_sums(const ConvShape& s, const T* gy, Wide<T>* gbias) {
  const int64_t planes = s.batch * s.filters;
  const auto add_up = [&](auto run) {
    constexpr int n = run;
    MINNOW_LAUNCH(warp_grid_for(planes), block_threads, 0, plane_sums_kernel<n, T>, planes,
                  s.out_area(), gy, gbias);
  };
  with_runs<Pack<T>::size>(s.out_area(), add_up, gy);
}

#define MINNOW_INSTANTIATE(T)                                                                \
  template void conv2d_forward<T>(const ConvShape&, const T*, const T*, const Wide<T>*, T*); \
  template void conv2d_backward<T>(const ConvShape&, const T*, const T*, T*);                \
  template void conv2d_bias_sums<T>(const ConvShape&, const T*, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
