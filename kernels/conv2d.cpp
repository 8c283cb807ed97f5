#include "kernels/conv2d.h"

#include "kernels/conv2d_library.h"
#include "kernels/gemm.h"
#include "kernels/im2col.h"
#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// Calls f(example, scratch) over all cores; a single example has the cores inside its products.
template <class T, class F>
void for_each_example(const ConvShape& s, F f) {
  parallel_for(s.batch, 1, [&](int64_t begin, int64_t end) {
    std::vector<T> scratch;
    for (int64_t e = begin; e < end; ++e) f(e, scratch);
  });
}

/// Calls f(x row, y row, tap, span, offset) for every row of a plane that each tap of a depthwise
/// filter reads.
template <class F>
void for_each_plane_row(const ConvShape& s, F f) {
  for (int64_t u = 0; u < s.kernel_h; ++u) {
    for (int64_t v = 0; v < s.kernel_w; ++v) {
      const int64_t offset = tap_offset(s, v);
      const Span span = inside(s, offset);
      for (int64_t i = 0; i < s.out_h(); ++i) {
        const int64_t row = i * s.stride + tap_offset(s, u);
        if (row >= 0 && row < s.height) {
          f(row * s.width + offset, i * s.out_w(), u * s.kernel_w + v, span);
        }
      }
    }
  }
}

template <class T>
void depthwise_forward(const ConvShape& s, const T* x, const T* w, const T* bias, T* y) {
  const int64_t area = s.height * s.width, out = s.out_area(), each = s.group_filters();
  const int64_t grain = element_grain / (out * s.taps() + 1) + 1;
  parallel_for(s.batch * s.filters, grain, [=, stride = s.stride](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t f = p % s.filters;
      const T *xp = x + p / each * area, *wf = w + f * s.taps();
      T* yp = y + p * out;
      std::fill_n(yp, out, bias == nullptr ? T(0) : bias[f]);
      for_each_plane_row(s, [=](int64_t in, int64_t at, int64_t tap, Span span) {
        const T* from = xp + in;
        T* to = yp + at;
        const T weight = wf[tap];
        if (stride == 1) {
#pragma omp simd
          for (int64_t j = span.begin; j < span.end; ++j) to[j] += weight * from[j];
        } else {
          for (int64_t j = span.begin; j < span.end; ++j) to[j] += weight * from[j * stride];
        }
      });
    }
  });
}

template <class T>
void depthwise_backward(const ConvShape& s, const T* gy, const T* w, T* gx) {
  const int64_t area = s.height * s.width, out = s.out_area(), each = s.group_filters();
  const int64_t grain = element_grain / (each * out * s.taps() + 1) + 1;
  parallel_for(s.batch * s.channels, grain, [=, stride = s.stride](int64_t begin, int64_t end) {
    std::fill(gx + begin * area, gx + end * area, T(0));
    for (int64_t p = begin * each; p < end * each; ++p) {
      const T *wf = w + p % s.filters * s.taps(), *gyp = gy + p * out;
      T* gxp = gx + p / each * area;
      for_each_plane_row(s, [=](int64_t in, int64_t at, int64_t tap, Span span) {
        const T* from = gyp + at;
        T* to = gxp + in;
        const T weight = wf[tap];
        if (stride == 1) {
#pragma omp simd
          for (int64_t j = span.begin; j < span.end; ++j) to[j] += weight * from[j];
        } else {
          for (int64_t j = span.begin; j < span.end; ++j) to[j * stride] += weight * from[j];
        }
      });
    }
  });
}

/// Where a group's rows begin in the arrays of one example.
struct GroupPlace {
  GroupPlace(const ConvShape& s, int64_t e, int64_t g)
      : x((e * s.channels + g * (s.channels / s.groups)) * s.height * s.width),
        y((e * s.filters + g * s.group_filters()) * s.out_area()),
        w(g * s.group_filters() * s.taps()) {}
  int64_t x, y, w;
};

}  // namespace

template <class T>
void conv2d_forward(const ConvShape& s, const T* x, const T* w, const Wide<T>* bias, T* y) {
  if (s.depthwise()) return depthwise_forward(s, x, w, bias, y);
  if constexpr (std::is_same_v<T, float>) {
    if (library_forward(s, x, w, bias, y)) return;
  }
  const int64_t out = s.out_area(), filters = s.group_filters(), taps = s.taps();
  for_each_example<T>(s, [&](int64_t e, std::vector<T>& scratch) {
    for_each_block(s, [&](int64_t g, RowBlock block) {
      const GroupPlace at(s, e, g);
      T* to = y + at.y + block.begin * s.out_w();
      const auto columns = im2col(s, block, x + at.x, scratch);
      for (int64_t f = 0; bias != nullptr && f < filters; ++f) {
        std::fill_n(to + f * out, columns.count, bias[g * filters + f]);
      }
      gemm(Op::none, Op::none, filters, columns.count, taps, T(1), w + at.w, taps, columns.data,
           columns.stride, bias == nullptr ? T(0) : T(1), to, out);
    });
  });
}

template <class T>
void conv2d_backward(const ConvShape& s, const T* gy, const T* w, T* gx) {
  if (s.depthwise()) return depthwise_backward(s, gy, w, gx);
  if constexpr (std::is_same_v<T, float>) {
    if (library_backward(s, gy, w, gx)) return;
  }
  const int64_t out = s.out_area(), filters = s.group_filters(), taps = s.taps();
  const int64_t each = s.channels * s.height * s.width;
  for_each_example<T>(s, [&](int64_t e, std::vector<T>& scratch) {
    if (!s.pointwise()) std::fill_n(gx + e * each, each, T(0));
    for_each_block(s, [&](int64_t g, RowBlock block) {
      const GroupPlace at(s, e, g);
      const auto columns = column_room(s, block, gx + at.x, scratch);
      gemm(Op::transpose, Op::none, taps, columns.count, filters, T(1), w + at.w, taps,
           gy + at.y + block.begin * s.out_w(), out, T(0), columns.data, columns.stride);
      if (!s.pointwise()) col2im_add<T>(s, block, columns.data, gx + at.x);
    });
  });
}

template <class T>
void conv2d_bias_sums(const ConvShape& s, const T* gy, Wide<T>* gbias) {
  const int64_t out = s.out_area();
  parallel_for(s.batch * s.filters, element_grain / (out + 1) + 1, [=](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const T* plane = gy + p * out;
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < out; ++i) sum += plane[i];
      gbias[p] = sum;
    }
  });
}

#define MINNOW_INSTANTIATE(T)                                                          \
  template void conv2d_forward<T>(const ConvShape&, const T*, const T*, const T*, T*); \
  template void conv2d_backward<T>(const ConvShape&, const T*, const T*, T*);          \
  template void conv2d_bias_sums<T>(const ConvShape&, const T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
