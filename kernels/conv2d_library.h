#pragma once

#include "kernels/conv2d.h"

/// oneDNN's convolutions, which read and write pictures in blocks of channels: they are worth the
/// two rearrangements where the library has a generated kernel for a shape. Each function returns
/// false, and has done nothing, where it has none (or none that pays): the caller's own loops do
/// it. May be called inside of a parallel region, where it stays on the calling thread.
namespace minnow::cpu {

/// conv2d_forward.
bool library_forward(const ConvShape& shape, const float* x, const float* w, const float* bias,
                     float* y);
/// conv2d_backward.
bool library_backward(const ConvShape& shape, const float* gy, const float* w, float* gx);
/// sum = the gradient of the weight over the shape's batch, times factor[e] for each example where
/// `factor` is not null, + beta * sum. No factor may be 0.
bool library_weight_sum(const ConvShape& shape, const float* x, const float* gy,
                        const float* factor, float beta, float* sum);
/// sumsq = the squared norm of the gradient of the weight over the shape's batch, taken while it
/// lies as the library writes it: putting it into a tensor's order can take longer than computing
/// it.
bool library_weight_sumsq(const ConvShape& shape, const float* x, const float* gy, double& sumsq);

}  // namespace minnow::cpu
