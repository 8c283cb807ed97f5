#include <cmath>

#include "kernels/device.h"
#include "kernels/lengths.h"
#include "kernels/sequencenorm.h"

/// Bytes moved: 2 sizeof(T) an element forward, 3 backward, and what the caches do not keep of a
/// second reading. A block has an example, so that its moments need no other memory, and a thread
/// one channel at a time, so that a warp reads neighbours.
namespace minnow::cuda {
namespace {

template <class T>
__global__ void sequencenorm_forward_kernel(SequenceShape s, const int64_t* lengths, Wide<T> eps,
                                            const T* x, const Wide<T>* weight, const Wide<T>* bias,
                                            T* y, Wide<T>* mean, Wide<T>* rstd) {
  using W = Wide<T>;
  const int64_t b = blockIdx.x, at = b * s.frames * s.channels;
  const int64_t size = live_tokens(lengths, b, s.frames) * s.channels;
  W sum = 0, squares = 0;
  for (int64_t i = threadIdx.x; i < size; i += blockDim.x) sum += widen(x[at + i]);
  const W m = block_sum(sum) / static_cast<W>(max(size, int64_t{1}));
  // A second pass spares the cancellation of E[x^2] - E[x]^2.
  for (int64_t i = threadIdx.x; i < size; i += blockDim.x) {
    const W d = widen(x[at + i]) - m;
    squares += d * d;
  }
  const W var = block_sum(squares) / static_cast<W>(max(size, int64_t{1}));
  const W r = size == 0 ? W(0) : W(1) / std::sqrt(var + eps);
  if (threadIdx.x == 0) {
    mean[b] = m;
    rstd[b] = r;
  }
  for (int64_t c = threadIdx.x; c < s.channels; c += blockDim.x) {
    const W factor = r * weight[c], offset = bias[c];
    for (int64_t i = c; i < s.frames * s.channels; i += s.channels) {
      y[at + i] = narrow<T>(i < size ? (widen(x[at + i]) - m) * factor + offset : W(0));
    }
  }
}

/// With h = gy weight and n = (x - mean) rstd: gx = rstd (h - mean(h) - n mean(h n)).
template <class T>
__global__ void sequencenorm_backward_kernel(SequenceShape s, const int64_t* lengths, const T* x,
                                             const Wide<T>* weight, const Wide<T>* mean,
                                             const Wide<T>* rstd, const T* gy, T* gx,
                                             Wide<T>* gweight, Wide<T>* gbias) {
  using W = Wide<T>;
  const int64_t b = blockIdx.x, at = b * s.frames * s.channels;
  const int64_t size = live_tokens(lengths, b, s.frames) * s.channels;
  const W m = mean[b], r = rstd[b];
  W sum_h = 0, sum_hn = 0;
  for (int64_t c = threadIdx.x; c < s.channels; c += blockDim.x) {
    W sum = 0, product = 0;
    for (int64_t i = c; i < size; i += s.channels) {
      const W g = widen(gy[at + i]);
      sum += g;
      product += g * ((widen(x[at + i]) - m) * r);
    }
    gbias[b * s.channels + c] = sum;
    gweight[b * s.channels + c] = product;
    sum_h += weight[c] * sum;
    sum_hn += weight[c] * product;
  }
  const W mean_h = block_sum(sum_h) / static_cast<W>(max(size, int64_t{1}));
  const W mean_hn = block_sum(sum_hn) / static_cast<W>(max(size, int64_t{1}));
  for (int64_t c = threadIdx.x; c < s.channels; c += blockDim.x) {
    const W w = weight[c];
    for (int64_t i = c; i < s.frames * s.channels; i += s.channels) {
      W g = 0;
      if (i < size) {
        g = r * (widen(gy[at + i]) * w - mean_h - (widen(x[at + i]) - m) * r * mean_hn);
      }
      gx[at + i] = narrow<T>(g);
    }
  }
}

}  // namespace

template <class T>
void sequencenorm_forward(const SequenceShape& s, const int64_t* lengths, Wide<T> eps, const T* x,
                          const Wide<T>* weight, const Wide<T>* bias, T* y, Wide<T>* mean,
                          Wide<T>* rstd) {
  MINNOW_LAUNCH(static_cast<unsigned>(s.batch), block_threads, 0, sequencenorm_forward_kernel<T>, s,
                lengths, eps, x, weight, bias, y, mean, rstd);
}

template <class T>
void sequencenorm_backward(const SequenceShape& s, const int64_t* lengths, const T* x,
                           const Wide<T>* weight, const Wide<T>* mean, const Wide<T>* rstd,
                           const T* gy, T* gx, Wide<T>* gweight, Wide<T>* gbias) {
  MINNOW_LAUNCH(static_cast<unsigned>(s.batch), block_threads, 0, sequencenorm_backward_kernel<T>,
                s, lengths, x, weight, mean, rstd, gy, gx, gweight, gbias);
}

#define MINNOW_INSTANTIATE(T)                                                                      \
  template void sequencenorm_forward<T>(const SequenceShape&, const int64_t*, Wide<T>, const T*,   \
                                        const Wide<T>*, const Wide<T>*, T*, Wide<T>*, Wide<T>*);   \
  template void sequencenorm_backward<T>(const SequenceShape&, const int64_t*, const T*,           \
                                         const Wide<T>*, const Wide<T>*, const Wide<T>*, const T*, \
                                         T*, Wide<T>*, Wide<T>*);
MINNOW_INSTANTIATE(float)
MINNOW_INSTANTIATE(double)
MINNOW_INSTANTIATE(bfloat16)
#undef MINNOW_INSTANTIATE

}  // namespace minnow::cuda
