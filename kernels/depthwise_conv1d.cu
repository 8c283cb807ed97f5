#include "kernels/depthwise_conv1d.h"
#include "kernels/device.h"

/// Bytes moved: 2 sizeof(T) an element of x forward and backward and by the sums; 2 k flops an
/// element each. A block has 32 channels of one example, so that a warp reads neighbours, and
/// `block_frames` of their frames in shared memory, where every frame is read by k taps. Longer
/// kernels go `block_taps` taps at a time.
namespace minnow::cuda {
namespace {

constexpr int block_frames = 64, block_taps = 32;
constexpr int own_frames = block_frames / matrix_rows;  // outputs of a thread
constexpr int own_taps = block_taps / matrix_rows;      // taps of a thread in the sums
constexpr int window = block_frames + block_taps - 1;   // frames that the outputs of a block read

/// What a block works on.
struct Piece {
  int64_t strip, chunk, example;
  __device__ Piece(int64_t strips, int64_t chunks)
      : strip(blockIdx.x % strips),
        chunk(blockIdx.x / strips % chunks),
        example(blockIdx.x / strips / chunks) {}
};

int64_t strips_of(const DepthwiseShape& s) {
  return ceil_div(s.channels, warp_lanes);
}
int64_t chunks_of(const DepthwiseShape& s) {
  return ceil_div(s.frames, block_frames);
}

/// to [count, 32] = the frames first .. first + count of this thread's channel of x, one example;
/// zeros beyond both ends.
template <class T>
__device__ void load_frames(const DepthwiseShape& s, const T* x, int64_t c, int64_t first,
                            int count, Wide<T> (*to)[warp_lanes]) {
  for (int r = static_cast<int>(threadIdx.y); r < count; r += matrix_rows) {
    const int64_t t = first + r;
    const bool inside = c < s.channels && t >= 0 && t < s.frames;
    to[r][threadIdx.x] = inside ? widen(x[t * s.channels + c]) : Wide<T>(0);
  }
}

template <class T>
__global__ void depthwise_conv1d_kernel(DepthwiseShape s, int64_t strips, int64_t chunks, bool flip,
                                        const T* x, const Wide<T>* weight, const Wide<T>* bias,
                                        T* y) {
  using W = Wide<T>;
  MINNOW_SHARED(W, taps, [block_taps][warp_lanes]);
  MINNOW_SHARED(W, frames, [window][warp_lanes]);
  const Piece piece(strips, chunks);
  const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  const int64_t c = piece.strip * warp_lanes + lane, t0 = piece.chunk * block_frames;
  const int64_t at = piece.example * s.frames * s.channels;
  W sum[own_frames];
  MINNOW_UNROLL
  for (int f = 0; f < own_frames; ++f) {
    sum[f] = bias != nullptr && c < s.channels ? bias[c] : W(0);
  }
  for (int64_t first = 0; first < s.kernel; first += block_taps) {
    const int live = static_cast<int>(min(int64_t{block_taps}, s.kernel - first));
    for (int u = row; u < live; u += matrix_rows) {
      const int64_t tap = flip ? s.kernel - 1 - first - u : first + u;
      taps[u][lane] = c < s.channels ? weight[c * s.kernel + tap] : W(0);
    }
    load_frames(s, x + at, c, t0 + first - s.padding(), window, frames);
    __syncthreads();
    for (int u = 0; u < live; ++u) {
      const W tap = taps[u][lane];
      MINNOW_UNROLL
      for (int f = 0; f < own_frames; ++f) sum[f] += tap * frames[row * own_frames + f + u][lane];
    }
    __syncthreads();  // the next taps overwrite both
  }
  MINNOW_UNROLL
  for (int f = 0; f < own_frames; ++f) {
    const int64_t t = t0 + row * own_frames + f;
    if (c < s.channels && t < s.frames) y[at + t * s.channels + c] = narrow<T>(sum[f]);
  }
}

/// A block has all frames of its channels, so that the order of every sum is fixed.
template <class T>
__global__ void depthwise_conv1d_sums_kernel(DepthwiseShape s, int64_t strips, const T* x,
                                             const T* gy, Wide<T>* gweight, Wide<T>* gbias) {
  using W = Wide<T>;
  MINNOW_SHARED(W, frames, [window][warp_lanes]);
  MINNOW_SHARED(W, g, [block_frames][warp_lanes]);
  const Piece piece(strips, 1);
  const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  const int64_t c = piece.strip * warp_lanes + lane;
  const int64_t at = piece.example * s.frames * s.channels;
  const int64_t channel = piece.example * s.channels + c;
  for (int64_t first = 0; first < s.kernel; first += block_taps) {
    W sum[own_taps] = {}, total = 0;
    for (int64_t t0 = 0; t0 < s.frames; t0 += block_frames) {
      load_frames(s, x + at, c, t0 + first - s.padding(), window, frames);
      load_frames(s, gy + at, c, t0, block_frames, g);
      __syncthreads();
      const int live = static_cast<int>(min(int64_t{block_frames}, s.frames - t0));
      for (int t = 0; t < live; ++t) {
        const W gt = g[t][lane];
        total += gt;
        MINNOW_UNROLL
        for (int f = 0; f < own_taps; ++f) sum[f] += gt * frames[row * own_taps + f + t][lane];
      }
      __syncthreads();  // the next frames overwrite both
    }
    if (c >= s.channels) continue;
    MINNOW_UNROLL
    for (int f = 0; f < own_taps; ++f) {
      const int64_t tap = first + row * own_taps + f;
      if (tap < s.kernel) gweight[channel * s.kernel + tap] = sum[f];
    }
    if (first == 0 && row == 0) gbias[channel] = total;
  }
}

template <class T>
void convolve(const DepthwiseShape& s, bool flip, const T* x, const Wide<T>* weight,
              const Wide<T>* bias, T* y) {
  const auto grid = static_cast<unsigned>(s.batch * strips_of(s) * chunks_of(s));
  MINNOW_LAUNCH(grid, matrix_block, 0, depthwise_conv1d_kernel<T>, s, strips_of(s), chunks_of(s),
                flip, x, weight, bias, y);
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
void depthwise_conv1d_sums(const DepthwiseShape& shape, const T* x, const T* gy, Wide<T>* gweight,
                           Wide<T>* gbias) {
  const auto grid = static_cast<unsigned>(shape.batch * strips_of(shape));
  MINNOW_LAUNCH(grid, matrix_block, 0, depthwise_conv1d_sums_kernel<T>, shape, strips_of(shape), x,
                gy, gweight, gbias);
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void depthwise_conv1d_forward<T>(const DepthwiseShape&, const T*, const Wide<T>*,       \
                                            const Wide<T>*, T*);                                   \
  template void depthwise_conv1d_backward<T>(const DepthwiseShape&, const T*, const Wide<T>*, T*); \
  template void depthwise_conv1d_sums<T>(const DepthwiseShape&, const T*, const T*, Wide<T>*,      \
                                         Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
