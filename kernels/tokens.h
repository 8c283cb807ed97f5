#pragma once

#include <cstdint>

namespace minnow::cpu {

/// y[i * y_stride + k] = x[i * x_stride + k] for i in [0, count), k in [0, n); strides in elements;
/// x_stride 0 repeats one block. What of y lies between the blocks is left alone; y must not be x.
template <class T>
void copy_blocks(int64_t count, int64_t n, const T* x, int64_t x_stride, T* y, int64_t y_stride);

/// y[e, :] = the mean of x[e, first .. end, :], 0 where there is nothing between them; end =
/// lengths[e], or `tokens` where lengths is null; x [examples, tokens, width]. Overwrites y.
template <class T>
void mean_tokens_forward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                         const int64_t* lengths, const T* x, T* y);

/// gx[e, t, :] = gy[e, :] / (end - first) for t in [first, end), 0 elsewhere. Overwrites gx.
template <class T>
void mean_tokens_backward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                          const int64_t* lengths, const T* gy, T* gx);

}  // namespace minnow::cpu

/// The same on arrays in device memory.
namespace minnow::cuda {

template <class T>
void copy_blocks(int64_t count, int64_t n, const T* x, int64_t x_stride, T* y, int64_t y_stride);
template <class T>
void mean_tokens_forward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                         const int64_t* lengths, const T* x, T* y);
template <class T>
void mean_tokens_backward(int64_t examples, int64_t tokens, int64_t width, int64_t first,
                          const int64_t* lengths, const T* gy, T* gx);

}  // namespace minnow::cuda
