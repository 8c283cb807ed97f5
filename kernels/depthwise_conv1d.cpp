#include "kernels/depthwise_conv1d.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/launch.h"

namespace minnow::cpu {
namespace {

/// 64 bytes of neighbouring channels. Spelled out as vectors, since a compiler keeps a tile of them
/// in registers, which it does not do with arrays.
template <class T>
struct Strip {
  static constexpr int64_t width = 64 / sizeof(T);
  using Vector [[gnu::vector_size(32)]] = T;
  Vector v[2];
};

/// Frames (or taps) that share what a step of the innermost loop loads: with two vectors each,
/// their sums are half of AVX2's registers.
constexpr int64_t tile = 4;

template <class T>
void add_product(const Strip<T>& a, const Strip<T>& b, Strip<T>& sum) {
  sum.v[0] += a.v[0] * b.v[0];
  sum.v[1] += a.v[1] * b.v[1];
}

/// n channels of `rows` frames that lie `stride` apart, as strips and back. What else a strip holds
/// is nobody's channel.
template <class T>
void gather(int64_t rows, int64_t n, int64_t stride, const T* from, Strip<T>* to) {
  for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r, from + r * stride, n * sizeof(T));
}
template <class T>
void scatter(int64_t rows, int64_t n, int64_t stride, const Strip<T>* from, T* to) {
  for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * stride, from + r, n * sizeof(T));
}

/// Calls f(example, first channel, channels of the strip) for every strip of every example; those
/// of one strip come one after another.
template <class T, class F>
void each_strip(const DepthwiseShape& s, int64_t begin, int64_t end, F f) {
  constexpr int64_t width = Strip<T>::width;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t first = i / s.batch * width;
    f(i % s.batch, first, std::min(width, s.channels - first));
  }
}

/// Runs f(begin, end) over shares of all strips, over all cores.
template <class T, class F>
void for_strips(const DepthwiseShape& s, F f) {
  const int64_t strips = (s.channels + Strip<T>::width - 1) / Strip<T>::width;
  const int64_t work = s.frames * s.kernel * Strip<T>::width / 8;
  parallel_for(s.batch * strips, element_grain / (work + 1) + 1, f);
}

/// The frames of one strip with zeros before and after them, long enough for whole tiles.
template <class T>
class PaddedFrames {
 public:
  explicit PaddedFrames(const DepthwiseShape& s)
      : s_(s), strips_(static_cast<size_t>(s.frames + s.kernel + tile)) {}
  /// From here on: output t reads strip t + u with tap u.
  const Strip<T>* load(const T* x, int64_t b, int64_t first, int64_t n) {
    gather(s_.frames, n, s_.channels, x + b * s_.frames * s_.channels + first,
           strips_.data() + s_.padding());
    return strips_.data();
  }

 private:
  const DepthwiseShape& s_;
  std::vector<Strip<T>> strips_;
};

/// The convolution, with the taps in reverse where `flip`.
template <class T>
void convolve(const DepthwiseShape& s, bool flip, const T* x, const T* weight, const T* bias,
              T* y) {
  for_strips<T>(s, [=](int64_t begin, int64_t end) {
    PaddedFrames<T> padded(s);
    std::vector<Strip<T>> taps(static_cast<size_t>(s.kernel));
    Strip<T> offset{};
    int64_t loaded = -1;
    each_strip<T>(s, begin, end, [&](int64_t b, int64_t first, int64_t n) {
      for (int64_t c = 0; c < n && first != loaded; ++c) {
        for (int64_t u = 0; u < s.kernel; ++u) {
          taps[u].v[c / (Strip<T>::width / 2)][c % (Strip<T>::width / 2)] =
              weight[(first + c) * s.kernel + (flip ? s.kernel - 1 - u : u)];
        }
      }
      if (bias != nullptr && first != loaded) gather(1, n, 0, bias + first, &offset);
      loaded = first;
      const Strip<T>* in = padded.load(x, b, first, n);
      for (int64_t t = 0; t < s.frames; t += tile) {
        Strip<T> sum[tile] = {offset, offset, offset, offset};
        for (int64_t u = 0; u < s.kernel; ++u) {
          for (int64_t f = 0; f < tile; ++f) add_product(taps[u], in[t + u + f], sum[f]);
        }
        scatter(std::min(tile, s.frames - t), n, s.channels, sum,
                y + (b * s.frames + t) * s.channels + first);
      }
    });
  });
}

}  // namespace

template <class T>
void depthwise_conv1d_forward(const DepthwiseShape& shape, const T* x, const Wide<T>* weight,
                              const Wide<T>* bias, T* y) {
  convolve<T>(shape, false, x, weight, bias, y);
}

template <class T>
void depthwise_conv1d_backward(const DepthwiseShape& shape, const T* gy, const Wide<T>* weight,
                               T* gx) {
  convolve<T>(shape, true, gy, weight, nullptr, gx);
}

template <class T>
void depthwise_conv1d_sums(const DepthwiseShape& s, const T* x, const T* gy, Wide<T>* gweight,
                           Wide<T>* gbias) {
  constexpr int64_t half = Strip<T>::width / 2;
  for_strips<T>(s, [=](int64_t begin, int64_t end) {
    PaddedFrames<T> padded(s);
    std::vector<Strip<T>> g(static_cast<size_t>(s.frames));
    each_strip<T>(s, begin, end, [&](int64_t b, int64_t first, int64_t n) {
      const Strip<T>* in = padded.load(x, b, first, n);
      gather(s.frames, n, s.channels, gy + b * s.frames * s.channels + first, g.data());
      T* gw = gweight + (b * s.channels + first) * s.kernel;
      for (int64_t u = 0; u < s.kernel; u += tile) {
        Strip<T> sum[tile] = {};
        for (int64_t t = 0; t < s.frames; ++t) {
          for (int64_t f = 0; f < tile; ++f) add_product(g[t], in[t + u + f], sum[f]);
        }
        for (int64_t f = 0; f < std::min(tile, s.kernel - u); ++f) {
          for (int64_t c = 0; c < n; ++c) gw[c * s.kernel + u + f] = sum[f].v[c / half][c % half];
        }
      }
      Strip<T> total{};
      for (const Strip<T>& one : g) {
        total.v[0] += one.v[0];
        total.v[1] += one.v[1];
      }
      scatter(1, n, 0, &total, gbias + b * s.channels + first);
    });
  });
}

#define MINNOW_INSTANTIATE(T)                                                                    \
  template void depthwise_conv1d_forward<T>(const DepthwiseShape&, const T*, const T*, const T*, \
                                            T*);                                                 \
  template void depthwise_conv1d_backward<T>(const DepthwiseShape&, const T*, const T*, T*);     \
  template void depthwise_conv1d_sums<T>(const DepthwiseShape&, const T*, const T*, T*, T*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cpu
